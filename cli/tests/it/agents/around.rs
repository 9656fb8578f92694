//! The same in a sandbox, and as an ordinary user where the tests run as root.

use makima_scripted_model::Step;

use super::pool::{Around, Client, Pool};
use super::{ends, for_each_client, resumed, turns};

for_each_client!(
    in_bubblewrap_a_turn_writes_files_and_leaves_no_child,
    in_bubblewrap_a_killed_turn_goes_on_elsewhere,
    under_landlock_a_turn_writes_files_and_leaves_no_child,
    under_landlock_a_killed_turn_goes_on_elsewhere,
    as_an_ordinary_user_a_turn_writes_files_and_leaves_no_child,
    as_an_ordinary_user_a_killed_turn_goes_on_elsewhere,
);

async fn in_bubblewrap_a_turn_writes_files_and_leaves_no_child(client: Client) {
    writes_files_and_leaves_no_child(Around::Bubblewrap, client, "bubblewrap").await;
}

async fn under_landlock_a_turn_writes_files_and_leaves_no_child(client: Client) {
    writes_files_and_leaves_no_child(Around::Landlock, client, "landlock").await;
}

async fn as_an_ordinary_user_a_turn_writes_files_and_leaves_no_child(client: Client) {
    writes_files_and_leaves_no_child(Around::OrdinaryUser, client, "none").await;
}

async fn writes_files_and_leaves_no_child(around: Around, client: Client, level: &str) {
    let Some(pool) = Pool::start_in(around, client, 1).await else { return };
    turns::writes_files(&pool).await;
    ends::leaves_a_child(&pool).await;
    let steps = [Step::run("echo $MAKIMA_SANDBOX $(id -u) > around.txt"), Step::say("done")];
    let end = pool.carry_out(&pool.task("tell", &steps)).await;
    let told = pool.result(&end, "around.txt");
    let (told_level, user) = told.trim().split_once(' ').unwrap();
    assert_eq!(told_level, level);
    assert!(around != Around::OrdinaryUser || user != "0", "{told}");
}

async fn in_bubblewrap_a_killed_turn_goes_on_elsewhere(client: Client) {
    is_killed_and_goes_on(Around::Bubblewrap, client).await;
}

async fn under_landlock_a_killed_turn_goes_on_elsewhere(client: Client) {
    is_killed_and_goes_on(Around::Landlock, client).await;
}

async fn as_an_ordinary_user_a_killed_turn_goes_on_elsewhere(client: Client) {
    is_killed_and_goes_on(Around::OrdinaryUser, client).await;
}

async fn is_killed_and_goes_on(around: Around, client: Client) {
    let Some(pool) = Pool::start_in(around, client, 2).await else { return };
    resumed::is_killed_and_goes_on(&pool).await;
}
