//! What a worker knows of its claims: whether the store may hold anything for it.

use std::time::Duration;

use tokio::time::Instant;

/// How long a claim whose answer was lost may still be carried out: twice as long as PostgreSQL lets a statement run.
const UNHEARD_FOR: Duration = Duration::from_secs(120);

/// What has become of the claims of one life.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// An audit found nothing, and nothing was claimed since.
    nothing_held: bool,
    /// Till when a claim may be carried out whose answer was lost.
    unheard_until: Option<Instant>,
}

impl Claims {
    /// A claim is being sent.
    pub(super) fn begun(&mut self) {
        self.nothing_held = false;
    }

    /// Its answer did not come.
    pub(super) fn unheard(&mut self) {
        self.unheard_until = Some(Instant::now() + UNHEARD_FOR);
    }

    /// An audit found so many tasks in the store.
    pub(super) fn found(&mut self, held: usize) {
        self.nothing_held = held == 0;
    }

    /// Tells whether the store is known to hold nothing.
    pub(super) fn hold_nothing(&self) -> bool {
        self.nothing_held && self.unheard_until.is_none_or(|until| until <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_held_once_an_audit_says_so_until_the_next_claim() {
        let mut claims = Claims::default();
        assert!(!claims.hold_nothing(), "a new life has not looked yet");
        claims.found(0);
        assert!(claims.hold_nothing());
        claims.begun();
        assert!(!claims.hold_nothing());
        claims.found(1);
        assert!(!claims.hold_nothing());
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_without_an_answer_is_looked_for_as_long_as_it_may_come_true() {
        let mut claims = Claims::default();
        claims.begun();
        claims.unheard();
        claims.found(0);
        assert!(!claims.hold_nothing());
        tokio::time::advance(UNHEARD_FOR).await;
        assert!(claims.hold_nothing());
    }
}
