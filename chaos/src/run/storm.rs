//! Faults of all kinds, in the order that the seed decides.

use super::Stage;
use crate::faults::{self, Planned};
use crate::load::{self, Piece};
use crate::report::{Report, tell};

/// A schedule beside the load, whose tasks are a small part of all.
const CRON_PERIODS_SECS: [i64; 1] = [5];

/// Injects the faults that were asked for.
pub(super) async fn play(stage: &Stage<'_>) -> anyhow::Result<Report> {
    let plan = Planned::all(stage.seed, stage.options.storm.faults, &stage.options.storm.only);
    let (driver, seed) = (stage.driver.clone(), stage.seed);
    let load = async move { load::run(&driver, seed, Piece::any).await };
    let (began, brief) = (stage.began, stage.options.fleet.brief);
    let faults = faults::run(&stage.stack, &stage.driver, &plan, move |struck| {
        if !brief {
            tell(began, struck);
        }
    });
    stage.judge(&CRON_PERIODS_SECS, load, faults).await
}
