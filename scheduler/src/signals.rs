//! What wakes reconcilers before their period is over. A signal that comes while its reconciler is at work is kept.

use tokio::sync::Notify;

/// One signal for each reconciler that has one.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(crate) release: Notify,
    pub(crate) fail_blocked: Notify,
    pub(crate) give_slots: Notify,
    pub(crate) rescue: Notify,
}

impl Signals {
    /// Tells that tasks have ended whose children are to be told.
    pub(crate) fn children_waiting(&self) {
        self.release.notify_one();
        self.fail_blocked.notify_one();
    }

    /// Tells that workers have ended that held tasks.
    pub(crate) fn workers_lost(&self) {
        self.rescue.notify_one();
    }

    /// Tells that slots of limited owners may be free, or wanted.
    pub(crate) fn slots(&self) {
        self.give_slots.notify_one();
    }
}
