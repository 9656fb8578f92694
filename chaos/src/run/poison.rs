//! One task that kills every worker it meets, among good ones: it ends failed with its attempts on different workers, and
//! the others are done. No other fault strikes.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::Stage;
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
    stage.judge(load, async { Ok(Vec::new()) }).await
}
