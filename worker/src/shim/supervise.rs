//! The shim's one loop: waits for the agent's end or a reason to bring it about, then clears the tree.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::clock::boottime_ms;
use super::control::ControlLine;
use super::status::{KillReason, Outcome, ShimStatus};
use super::tree;

/// How late a suspended machine may notice, once awake, that a deadline passed: waiting stands still meanwhile.
const LONGEST_WAIT_MS: u64 = 1_000;

/// How long processes may resist SIGKILL (uninterruptible sleep, another owner) before the shim leaves them.
pub(crate) const CLEARING_LIMIT: Duration = Duration::from_secs(10);

/// How long the kernel may take to clear the namespace of an agent that has ended, before the shim helps.
const NAMESPACE_END: Duration = Duration::from_millis(50);

/// What the shim's loop reacts to.
#[derive(Debug)]
pub(super) enum Event {
    Control(ControlLine),
    WorkerGone,
    Signalled,
    /// A child ended: the agent itself, or an orphan that came to the subreaper.
    Reaped(Pid, Outcome),
    /// No child is left, and with a subreaper that means no descendant.
    NoChildren,
}

/// A reaper that waits for its agent.
pub(super) struct Reaper(Sender<Pid>);

impl Reaper {
    /// Lets it reap, now that the agent runs.
    pub(super) fn start(self, agent: Pid) {
        // The receiving thread ends only after this.
        let _ = self.0.send(agent);
    }
}

/// Starts the thread that reaps children once there are any.
pub(super) fn stand_by(events: Sender<Event>) -> io::Result<Reaper> {
    let (starter, agent) = mpsc::channel();
    let reap = move || {
        if let Ok(agent) = agent.recv() {
            while let Some(end) = reap_next(agent) {
                let _ = events.send(end);
            }
            let _ = events.send(Event::NoChildren);
        }
    };
    thread::Builder::new().name("reaper".into()).spawn(reap)?;
    Ok(Reaper(starter))
}

/// Waits for any child's end; `None` if there is no child.
fn reap_next(agent: Pid) -> Option<Event> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) => return Some(Event::Reaped(pid, Outcome::Exited { code })),
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                return Some(Event::Reaped(pid, Outcome::Signaled { signal: signal as i32 }));
            }
            Err(Errno::ECHILD) => return None,
            // The library has no name for real-time signals and says only that some child was reaped.
            Err(Errno::EINVAL) if kill(agent, None).is_err() => {
                return Some(Event::Reaped(agent, Outcome::Signaled { signal: 0 }));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// The state of one agent's supervision.
pub(super) struct Supervisor {
    agent: Pid,
    events: Receiver<Event>,
    lease_until_ms: u64,
    /// When the grace of a stop ends.
    grace_until_ms: Option<u64>,
    /// What began the end; the first reason stays.
    reason: Option<KillReason>,
    must_kill: bool,
    /// How long processes may take that end by themselves once the agent has.
    orphans_patience: Duration,
    end: Option<Outcome>,
    childless: bool,
}

impl Supervisor {
    pub(super) fn new(agent: Pid, events: Receiver<Event>, lease_until_ms: u64, in_namespaces: bool) -> Self {
        Self {
            agent,
            events,
            lease_until_ms,
            grace_until_ms: None,
            reason: None,
            must_kill: false,
            orphans_patience: if in_namespaces { NAMESPACE_END } else { Duration::from_millis(1) },
            end: None,
            childless: false,
        }
    }

    /// Runs until the tree is gone.
    pub(super) fn run(mut self) -> ShimStatus {
        while self.end.is_none() && !self.must_kill {
            self.receive(self.patience());
            // Whatever has arrived comes before the clock: a renewal that waits here was in time.
            while let Ok(event) = self.events.try_recv() {
                self.handle(event);
            }
            self.check_deadlines();
        }
        let (leftovers, survivors) = self.clear();
        // A main process that outlives SIGKILL for so long has it pending.
        let outcome = self.end.unwrap_or(Outcome::Signaled { signal: Signal::SIGKILL as i32 });
        ShimStatus { outcome, killed_because: self.reason, leftovers, survivors }
    }

    fn patience(&self) -> Duration {
        let deadline =
            self.grace_until_ms.map_or(self.lease_until_ms, |grace| grace.min(self.lease_until_ms));
        Duration::from_millis(deadline.saturating_sub(boottime_ms()).min(LONGEST_WAIT_MS))
    }

    fn receive(&mut self, patience: Duration) {
        match self.events.recv_timeout(patience) {
            Ok(event) => self.handle(event),
            Err(RecvTimeoutError::Timeout) => {}
            // All watchers are gone, which only a bug can bring about: nobody could stop the agent any more.
            Err(RecvTimeoutError::Disconnected) => self.kill_because(KillReason::WorkerGone),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Control(ControlLine::Lease { until_ms }) => self.lease_until_ms = until_ms,
            Event::Control(ControlLine::Stop { signal, grace_ms }) => self.stop(signal, grace_ms),
            Event::WorkerGone => self.kill_because(KillReason::WorkerGone),
            Event::Signalled => self.kill_because(KillReason::Signal),
            Event::Reaped(pid, outcome) if pid == self.agent => self.end = Some(outcome),
            Event::Reaped(..) => {}
            Event::NoChildren => self.childless = true,
        }
    }

    fn stop(&mut self, signal: Signal, grace_ms: u64) {
        if self.end.is_some() {
            return;
        }
        self.reason.get_or_insert(KillReason::Stop);
        let until_ms = boottime_ms().saturating_add(grace_ms);
        self.grace_until_ms = Some(self.grace_until_ms.map_or(until_ms, |earlier| earlier.min(until_ms)));
        if grace_ms > 0 {
            tree::signal(self.agent, signal);
        }
    }

    fn kill_because(&mut self, reason: KillReason) {
        if self.end.is_none() {
            self.reason.get_or_insert(reason);
            self.must_kill = true;
        }
    }

    fn check_deadlines(&mut self) {
        let now = boottime_ms();
        if self.grace_until_ms.is_some_and(|grace| grace <= now) {
            self.kill_because(KillReason::Stop);
        } else if self.lease_until_ms <= now {
            self.kill_because(KillReason::Lease);
        }
    }

    /// Kills all descendants, again and again until none is left; returns how many it killed and could not kill.
    fn clear(&mut self) -> (usize, usize) {
        let limit = Instant::now() + CLEARING_LIMIT;
        let mut killed = BTreeSet::new();
        if self.end.is_some() {
            // An agent that left nothing behind is told apart by the reaper, at a fraction of a walk's price.
            self.await_childless(self.orphans_patience);
        }
        let mut pause = Duration::from_millis(1);
        while !self.childless && Instant::now() < limit {
            let agent = self.end.is_none().then_some(self.agent);
            let known = killed.len();
            killed.extend(tree::kill_descendants(agent));
            // Processes that go on forking are met at full speed, those that only take their time to die are not.
            pause = if killed.len() > known { Duration::from_millis(1) } else { pause * 2 };
            self.await_childless(pause.min(Duration::from_millis(50)));
        }
        killed.remove(&self.agent);
        let survivors = if self.childless { 0 } else { tree::living_descendants(getpid()).len() };
        (killed.len(), survivors)
    }

    fn await_childless(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while !self.childless {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => self.handle(event),
                Err(_) => return,
            }
        }
    }
}
