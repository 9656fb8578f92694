//! Caps that have an effect. One without would be a trap for who pays.

use super::FieldError;
use crate::domain::{Agent, Caps, SpendTold};

/// Names the caps that the agent gives nothing to hold against.
pub(in crate::domain) fn check_caps(agent: &Agent, caps: &Caps, errors: &mut Vec<FieldError>) {
    let (cost, tokens) = match agent.tells_spend() {
        SpendTold::TokensAndCost => return,
        SpendTold::Tokens => (
            Some("has no effect: this agent tells its tokens, but no cost; set maxTokens in its place"),
            None,
        ),
        SpendTold::Nothing => (
            Some(
                "has no effect: a command tells no cost (and no tokens, for maxTokens); set timeoutSecs in its place",
            ),
            Some("has no effect: a command tells no tokens; set timeoutSecs in its place"),
        ),
    };
    let unkept = |field, is_set, problem: Option<&str>| {
        problem.filter(|_| is_set).map(|problem| FieldError::new(field, problem))
    };
    errors.extend(unkept("maxCostUsd", caps.max_cost_usd.is_some(), cost));
    errors.extend(unkept("maxTokens", caps.max_tokens.is_some(), tokens));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn caps_that_an_agent_gives_nothing_to_hold_against_are_named() {
        let refused = |agent: serde_json::Value| {
            let agent: Agent = serde_json::from_value(agent).unwrap();
            let mut errors = Vec::new();
            check_caps(&agent, &Caps { max_cost_usd: Some(1.0), max_tokens: Some(1) }, &mut errors);
            check_caps(&agent, &Caps::default(), &mut errors);
            errors
        };
        assert_eq!(refused(json!({"kind": "claude"})), []);
        let codex = refused(json!({"kind": "codex"}));
        assert_eq!(codex.len(), 1);
        assert!(codex[0].field == "maxCostUsd" && codex[0].problem.contains("maxTokens"), "{codex:?}");
        let command = refused(json!({"kind": "command", "argv": ["true"]}));
        assert_eq!(
            command.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
            ["maxCostUsd", "maxTokens"]
        );
    }
}
