//! Where the time goes: the processor time that each part had, which does not depend on what else the machine does.

use anyhow::Context;

use super::Plane;
use super::processes::{self, Process};
use super::workers::Workers;

/// The parts of a plane, in the order of a task's way.
const PARTS: [&str; 6] = ["the client (this bench)", "API", "PostgreSQL", "Redis", "workers", "scheduler"];

/// Seconds of each part.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessorTime([f64; PARTS.len()]);

impl ProcessorTime {
    /// Looks at all processes.
    pub(super) fn look(plane: &Plane<'_>, workers: &Workers) -> anyhow::Result<Self> {
        let below = processes::below(plane.up)?;
        let sum =
            |is: &dyn Fn(&Process) -> bool| below.iter().filter(|one| is(one)).map(|one| one.cpu_secs).sum();
        let role = |name: &'static str| {
            move |one: &Process| one.arguments().first().is_some_and(|word| word == name)
        };
        let own = |pid| processes::one(pid).map(|one| one.cpu_secs).context("a process is gone");
        let workers: Vec<f64> = workers.pids().into_iter().map(own).collect::<anyhow::Result<_>>()?;
        Ok(Self([
            own(std::process::id())?,
            sum(&role("api")),
            sum(&|one| one.name.starts_with("postgres")),
            sum(&|one| one.name.starts_with("redis-server") || one.name.starts_with("valkey-server")),
            workers.iter().sum(),
            sum(&role("scheduler")),
        ]))
    }

    /// Adds what was had between two looks.
    pub(super) fn add(&mut self, before: &Self, after: &Self) {
        for (sum, (before, after)) in self.0.iter_mut().zip(before.0.iter().zip(after.0)) {
            *sum += (after - before).max(0.0);
        }
    }

    /// Returns each part's name with its seconds.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, f64)> {
        PARTS.into_iter().zip(self.0)
    }

    /// Returns the seconds of all parts.
    pub(super) fn sum(&self) -> f64 {
        self.0.iter().sum()
    }
}
