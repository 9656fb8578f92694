//! What checkpoints cost an agent: the same work with one every second and with none, in turn.

use std::path::Path;
use std::time::Duration;

use makima_shared::domain::{Agent, TaskSubmission};

use super::TREE;
use crate::client::Api;
use crate::floors::{Floor, Floors};
use crate::progress::Progress;
use crate::report::Row;
use crate::samples::Samples;
use crate::timeline::{Timeline, between};

const ROUNDS: usize = 5;
/// Work for some ten seconds, with a file changed every tenth of one.
const SCRIPT: &str = "n=0; while [ $n -lt 100 ]; do n=$((n + 1)); echo \"line $n\" >> part-00/work-$((n % 25)).txt; \
                      head -c 40000000 /dev/zero | sha256sum > /dev/null; done";
/// Longer than any run.
const NEVER: i32 = 86_400;

/// Measures it.
pub(super) async fn measure(
    api: &Api,
    progress: &Progress,
    directory: &Path,
    floors: &mut Floors,
) -> anyhow::Result<Row> {
    let repository = directory.join("agents-repository");
    let making = repository.clone();
    tokio::task::spawn_blocking(move || TREE.make(&making)).await??;
    let phase = progress.phase("an agent with and without checkpoints", 2 * ROUNDS);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    run(api, &repository, NEVER).await?;
    for _ in 0..ROUNDS {
        without.push(run(api, &repository, NEVER).await?);
        phase.step();
        with.push(run(api, &repository, 1).await?);
        phase.step();
    }
    floors.add(Floor::AgentAlone, Samples::of_durations(without));
    let row = Row::millis("an agent's run, a checkpoint every second", with, &[(1, Floor::AgentAlone)]);
    Ok(row.bar("1.02 x"))
}

async fn run(api: &Api, repository: &Path, interval_secs: i32) -> anyhow::Result<Duration> {
    let agent = Agent::command(["sh", "-c", SCRIPT].map(str::to_owned).into());
    let url = repository.display().to_string();
    let task = TaskSubmission {
        checkpoint_interval_secs: Some(interval_secs),
        max_retries: Some(0),
        ..TaskSubmission::new("bench".to_owned(), "Work.".to_owned(), url, agent)
    };
    let history = api.follow(api.submit(&task).await?).await?;
    let timeline = Timeline::of(&history.events)?;
    between(timeline.running, timeline.done)
}
