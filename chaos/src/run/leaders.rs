//! Two schedulers, the leader killed again and again while graphs of tasks are released and schedules fall due: each
//! dependency is released once, and each due time has one run.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::Stage;
use crate::faults::{FaultKind, Scope, Struck, kill_leader};
use crate::load::{self, Piece};
use crate::report::{Report, tell};
use crate::stack::{LEADER_LEASE, Stack};

/// Due times come while nobody leads, too.
const CRON_PERIODS_SECS: [i64; 2] = [1, 5];
/// How long a leader leads before it is killed.
const LEADS_FOR: Duration = Duration::from_millis(1200);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A crash must not cost more until somebody leads again.
const LEADS_WITHIN: Duration = Duration::from_secs(10);

/// Kills the leader so many times.
pub(super) async fn play(stage: &Stage<'_>, kills: u32) -> anyhow::Result<Report> {
    let (driver, seed) = (stage.driver.clone(), stage.seed);
    let load = async move { load::run(&driver, seed, Piece::good_graph).await };
    let faults = async {
        let mut struck = Vec::new();
        for number in 1..=usize::try_from(kills)? {
            let fault = kill(&stage.stack, number).await;
            if !stage.options.fleet.brief {
                tell(stage.began, &fault);
            }
            struck.push(fault);
        }
        Ok(struck)
    };
    stage.judge(&CRON_PERIODS_SECS, load, faults).await
}

async fn kill(stack: &Stack, number: usize) -> Struck {
    let waited = Instant::now();
    while stack.leader().is_none() && waited.elapsed() < LEADS_WITHIN {
        sleep(LOOK_EVERY).await; // why: the lead is told in logs alone
    }
    let vacant = waited.elapsed();
    sleep(LEADS_FOR).await; // why: it is to be in the middle of its work
    let began = Utc::now();
    let hit = kill_leader(stack).map(|hit| {
        let lease = LEADER_LEASE.as_secs_f64();
        format!("{hit}, the lead was vacant for {:.1} s before (lease {lease:.1} s)", vacant.as_secs_f64())
    });
    let hit = hit.map_err(|error| format!("{error:#}"));
    Struck { number, kind: FaultKind::KillLeader, scope: Scope::Scheduler, began, ended: Utc::now(), hit }
}
