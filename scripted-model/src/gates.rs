//! Gates: where answers wait until a test lets them go on.

use std::collections::BTreeMap;

use tokio::sync::watch;

#[derive(Debug, Default, Clone, Copy)]
struct Gate {
    open: bool,
    /// How many requests have come to it so far.
    arrived: usize,
}

/// All gates of a server. One that nobody has named is closed.
#[derive(Debug)]
pub(crate) struct Gates(watch::Sender<BTreeMap<String, Gate>>);

impl Gates {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }

    /// Tells that a request has come to a gate, and waits until it is open.
    pub(crate) async fn pass(&self, name: &str) {
        self.change(name, |gate| gate.arrived += 1);
        self.until(name, |gate| gate.open).await;
    }

    /// Waits until so many requests have come to a gate, those that have gone on included.
    pub(crate) async fn arrived(&self, name: &str, count: usize) {
        self.until(name, |gate| gate.arrived >= count).await;
    }

    pub(crate) fn open(&self, name: &str) {
        self.change(name, |gate| gate.open = true);
    }

    pub(crate) fn is_open(&self, name: &str) -> bool {
        self.0.borrow().get(name).is_some_and(|gate| gate.open)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Gate)) {
        self.0.send_modify(|gates| change(gates.entry(name.to_owned()).or_default()));
    }

    async fn until(&self, name: &str, reached: impl Fn(Gate) -> bool) {
        let mut changes = self.0.subscribe();
        // The sender is of self: it outlives the wait.
        let _ = changes.wait_for(|gates| reached(gates.get(name).copied().unwrap_or_default())).await;
    }
}
