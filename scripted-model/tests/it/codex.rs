use makima_scripted_model::{ScriptedModel, Step};

use crate::run::{Client, arrived, prompt, refusal};

fn provider(model: &ScriptedModel) -> String {
    format!("model_providers.scripted.base_url=\"{}/v1\"", model.url())
}

#[tokio::test]
async fn usage_adds_up_over_the_runs_of_a_thread() {
    let (model, client) = (ScriptedModel::start().await.unwrap(), Client::new("codex"));
    let steps = [Step::run("echo hello > a.txt"), Step::say("done")];
    let run = client.run(&model, &["exec", "--json", "-c", &provider(&model), &prompt(&steps)]).await;
    assert!(run.status.success());
    assert_eq!(client.file("a.txt"), "hello\n");
    assert_eq!(run.last()["usage"]["input_tokens"], 200);

    let thread = run.lines[0]["thread_id"].as_str().unwrap();
    let more = prompt(&[Step::say("more")]);
    let run = client.run(&model, &["exec", "--json", "-c", &provider(&model), "resume", thread, &more]).await;
    assert_eq!(run.last()["usage"]["input_tokens"], 300);
    assert!(model.requests()[2].tells("echo hello > a.txt"));
}

#[tokio::test]
async fn a_killed_thread_goes_on_where_its_conversation_stands() {
    let (model, client) = (ScriptedModel::start().await.unwrap(), Client::new("codex"));
    let steps = [Step::run("echo one > a.txt"), Step::run("echo two >> a.txt").at("gate"), Step::say("done")];
    let mut first = client.start(&model, &["exec", "--json", "-c", &provider(&model), &prompt(&steps)]);
    let mut lines = tokio::io::BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.unwrap();
    let begun: serde_json::Value = serde_json::from_str(&line).unwrap();
    arrived(&model, &mut first, "gate").await;
    first.kill().await.unwrap();
    model.open("gate");

    let thread = begun["thread_id"].as_str().unwrap();
    let run =
        client.run(&model, &["exec", "--json", "-c", &provider(&model), "resume", thread, "Go on."]).await;
    assert!(run.status.success());
    assert_eq!(client.file("a.txt"), "one\ntwo\n");
}

#[tokio::test]
async fn a_refusal_fails_the_turn() {
    let (model, client) = (ScriptedModel::start().await.unwrap(), Client::new("codex"));
    let step = refusal(r#"{"refuse": 429, "kind": "usage_limit_reached"}"#);
    let run = client.run(&model, &["exec", "--json", "-c", &provider(&model), &prompt(&[step])]).await;
    assert_eq!((run.status.code(), &run.last()["type"]), (Some(1), &"turn.failed".into()));
}
