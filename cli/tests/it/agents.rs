//! Clients of the vendors, driven by whole stacks and a scripted model on loopback: the same cases with stand-ins
//! (`make test`) and with the real ones (`make test-agents`, which names their directory in `MAKIMA_TEST_AGENTS`).

mod around;
mod ends;
mod limits;
mod messages;
mod pool;
mod resumed;
mod turns;

/// Makes a test of each case for each client.
macro_rules! for_each_client {
    ($($case:ident),* $(,)?) => {
        mod claude {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                Box::pin(super::$case(crate::agents::pool::Client::Claude)).await;
            })*
        }
        mod codex {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                Box::pin(super::$case(crate::agents::pool::Client::Codex)).await;
            })*
        }
    };
}
use for_each_client;
