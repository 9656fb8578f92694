use makima_scripted_model::{ScriptedModel, Step};

use crate::run::{Client, arrived, end, prompt, refusal};

const BEGIN: [&str; 3] = ["-p", "--output-format", "stream-json"];

#[tokio::test]
async fn a_turn_runs_its_commands_and_ends_with_words() {
    let (model, client) = (ScriptedModel::start().await.unwrap(), Client::new("claude"));
    let steps = [Step::run("echo hello > a.txt"), Step::run("echo oops; exit 3"), Step::say("done")];
    let run = client.run(&model, &[&BEGIN[..], &[&prompt(&steps)]].concat()).await;
    assert!(run.status.success());
    assert_eq!(client.file("a.txt"), "hello\n");
    assert_eq!((&run.last()["result"], &run.last()["usage"]["input_tokens"]), (&"done".into(), &300.into()));
    assert!(model.requests()[2].tells("Exit code 3\noops"), "the model hears of a tool that fails");
}

#[tokio::test]
async fn a_killed_turn_goes_on_where_its_conversation_stands() {
    let (model, client) = (ScriptedModel::start().await.unwrap(), Client::new("claude"));
    let session = "8d4c2c6e-0d2b-4c4b-9d0f-2a1f9b0c7e11";
    let steps =
        [Step::run("echo one >> a.txt"), Step::run("echo two >> a.txt").at("gate"), Step::say("done")];
    let mut first = client.start(&model, &[&BEGIN[..], &["--session-id", session, &prompt(&steps)]].concat());
    arrived(&model, &mut first, "gate").await;
    first.kill().await.unwrap();
    model.open("gate");

    let run = client.run(&model, &[&BEGIN[..], &["--resume", session, "Go on."]].concat()).await;
    assert!(run.status.success());
    assert_eq!(client.file("a.txt"), "one\ntwo\n");
    let resumed = &model.requests()[2];
    assert!(resumed.tells("echo one") && resumed.tells("Go on."), "{resumed:?}");
}

#[tokio::test]
async fn a_refusal_is_an_error_inside_success() {
    let (model, client) = (ScriptedModel::start().await.unwrap(), Client::new("claude"));
    for (step, status) in [
        (refusal(r#"{"refuse": 529, "kind": "overloaded_error"}"#), 529.into()),
        (refusal(r#"{"refuse": 400, "kind": "invalid_request_error"}"#), 400.into()),
        (refusal(r#"{"break": "overloaded_error"}"#), serde_json::Value::Null),
    ] {
        let run = client.run(&model, &[&BEGIN[..], &[&prompt(&[step])]].concat()).await;
        assert_eq!(run.status.code(), Some(1));
        assert_eq!((&run.last()["subtype"], &run.last()["is_error"]), (&"success".into(), &true.into()));
        assert_eq!(run.last()["api_error_status"], status);
    }
}

#[tokio::test]
async fn an_interrupt_ends_a_turn_with_its_result() {
    let (model, client) = (ScriptedModel::start().await.unwrap(), Client::new("claude"));
    let mut child =
        client.start(&model, &[&BEGIN[..], &[&prompt(&[Step::say("never").at("gate")])]].concat());
    arrived(&model, &mut child, "gate").await;
    let pid = child.id().unwrap().to_string();
    let sent = tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
    assert!(sent.success());
    let run = end(child).await;
    assert_eq!((run.status.code(), &run.last()["subtype"]), (Some(1), &"error_during_execution".into()));
}
