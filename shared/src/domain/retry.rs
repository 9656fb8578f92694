//! How long a task rests before it is tried again.

use std::time::Duration;

/// Exponential back-off with full jitter: the n-th retry waits a random time between nothing and
/// `min(max_delay, base_delay * 2^n)`. Full jitter spreads a herd best for the least work done; the comparison is in
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The longest wait before the first retry.
    pub base_delay: Duration,
    /// The longest wait before any retry.
    pub max_delay: Duration,
}

impl RetryPolicy {
    /// Returns the wait before the next try of a task that was retried `retries` times already.
    #[must_use]
    pub fn delay(&self, retries: i16) -> Duration {
        self.ceiling(retries).mul_f64(rand::random::<f64>())
    }

    /// Returns a wait of which at least half is certain, for what only time can mend.
    #[must_use]
    pub(super) fn steady_delay(&self, retries: u32) -> Duration {
        let retries = i16::try_from(retries).unwrap_or(i16::MAX);
        self.ceiling(retries).mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    fn ceiling(&self, retries: i16) -> Duration {
        let doublings = u32::from(retries.clamp(0, 30).unsigned_abs());
        self.base_delay.saturating_mul(1 << doublings).min(self.max_delay)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { base_delay: Duration::from_secs(1), max_delay: Duration::from_secs(60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let policy = RetryPolicy::default();
        let ceilings: Vec<_> = [0, 1, 5, 6, 100].map(|n| policy.ceiling(n).as_secs()).into();
        assert_eq!(ceilings, [1, 2, 32, 60, 60]);
        assert!((0..1000).all(|_| policy.delay(3) <= Duration::from_secs(8)));
    }
}
