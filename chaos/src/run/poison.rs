//! One task that kills every worker it meets, among good ones: it ends failed with its attempts on different workers, and
//! the others are done. No other fault strikes.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::Stage;
use crate::evidence::Evidence;
use crate::load::{Kind, Piece};
use crate::report::Report;

/// Submits the good tasks with the poison in their middle, and waits for the end.
pub(super) async fn play(stage: &Stage<'_>, tasks: u32) -> anyhow::Result<Report> {
    let (driver, seed) = (stage.driver.clone(), stage.seed);
    let load = async move {
        let mut rng = StdRng::seed_from_u64(seed);
        for number in 0..tasks {
            if number == tasks / 2 {
                driver.submit(&Piece::one(&mut rng, Kind::Poison)).await?;
            }
            driver.submit(&Piece::one(&mut rng, Kind::Lines)).await?;
        }
        Ok(())
    };
    stage.judge(&[], load, async { Ok(Vec::new()) }).await
}

/// Tells how each poison task ended, and by whom it was tried.
pub(super) fn stories(evidence: &Evidence) -> Vec<String> {
    let is_poison = |task| evidence.asked.get(task).is_some_and(|asked| asked.kind == Kind::Poison);
    let poisonous = evidence.histories.iter().filter(|(task, _)| is_poison(task));
    let stories = poisonous.map(|(task, history)| {
        let tries = history.attempts.iter().map(|attempt| {
            format!("{} ({:?})", attempt.worker_name.as_deref().unwrap_or("?"), attempt.outcome)
        });
        let (name, row) = (evidence.name(*task), &history.task);
        let tries: Vec<_> = tries.collect();
        format!("{name} is {} with {:?} after {}", row.status, row.status_code, tries.join(", "))
    });
    stories.collect()
}
