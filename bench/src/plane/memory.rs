//! The memory of an idle API, scheduler and worker, as they run for anybody.

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::workers::Workers;
use super::{Measured, Plane, processes};
use crate::floors::Floors;
use crate::report::Row;
use crate::samples::Samples;

/// How long each idles before it is looked at: every periodic duty has had its turn.
const IDLES_FOR: Duration = Duration::from_secs(20);

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let _phase = plane.progress.phase("memory of idle processes", 1);
    let worker = Workers::start_real(plane).await?;
    sleep(IDLES_FOR).await; // why: see IDLES_FOR
    let mut rows = Vec::new();
    for role in ["api", "scheduler"] {
        let below = processes::below(plane.up)?;
        let process =
            below.iter().find(|process| process.arguments().first().is_some_and(|name| name == role));
        rows.push(row(role, process.with_context(|| format!("no {role} runs"))?.pid)?);
    }
    rows.push(row("worker", *worker.pids().first().context("no worker runs")?)?);
    worker.stop().await?;
    Ok((rows, Floors::default()))
}

fn row(role: &str, pid: u32) -> anyhow::Result<Row> {
    let resident = Samples::of([processes::resident_mib(pid)?]);
    Ok(Row::mebibytes(format!("memory of an idle {role} (RSS)"), resident).bar("25 MiB"))
}
