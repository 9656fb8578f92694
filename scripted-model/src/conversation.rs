//! What a request tells of its conversation, whichever vendor's words it is in, and which step comes next.

use crate::script::{self, Do, Step};

/// Marks the ids of tool uses that the model asked for.
pub(crate) const ID_MARK: &str = "scripted";

/// One thing that a conversation holds, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Somebody said something to the model.
    User(String),
    /// The model said something, or a client put words into its mouth.
    Said(String),
    /// The model asked for a tool by an id.
    Used(String),
}

/// Returns the step that answers a conversation. Without a script, or after its end, the model has nothing to say.
///
/// A client tells of its conversation in its own way: it adds words of its own, leaves out what was interrupted, repeats
/// the prompt when it resumes. So a step counts as done if the model's own id or words stand after the script's first line.
pub(crate) fn next_step(turns: &[Turn], is_open: impl Fn(&str) -> bool) -> Step {
    let script = turns.iter().rev().find_map(|turn| match turn {
        Turn::User(text) => script::find(text),
        Turn::Said(_) | Turn::Used(_) => None,
    });
    let Some(script) = script else { return Step::say("There is no script.") };
    let begins = |turn: &Turn| matches!(turn, Turn::User(text) if script::find(text) == Some(script));
    let since = turns.iter().skip_while(|turn| !begins(turn));
    let steps = script::read(script);
    let done = since.filter(|turn| is_answer(turn, &steps)).count();
    let mut left = steps.into_iter().filter(|step| !step.ended_by().is_some_and(&is_open));
    left.nth(done).unwrap_or_else(|| Step::say("The script has ended."))
}

fn is_answer(turn: &Turn, steps: &[Step]) -> bool {
    match turn {
        Turn::User(_) => false,
        Turn::Used(id) => id.contains(ID_MARK),
        Turn::Said(text) => {
            steps.iter().any(|step| matches!(&step.what, Do::Say { say } if say.trim() == text.trim()))
        }
    }
}

/// Returns a new id for a use of a tool.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{ID_MARK}{}", uuid::Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Refusal, script_line};

    fn prompt(steps: &[Step]) -> Turn {
        Turn::User(format!("Do it.\n{}", script_line(steps)))
    }

    fn used() -> Turn {
        Turn::Used(new_id("call"))
    }

    #[test]
    fn steps_follow_each_other_over_a_prompt_that_is_repeated() {
        let steps = [Step::run("one"), Step::run("two"), Step::say("done")];
        let next = |turns: &[Turn]| next_step(turns, |_| false);
        assert_eq!(next(&[prompt(&steps)]), steps[0]);
        assert_eq!(next(&[prompt(&steps), used()]), steps[1]);
        let resumed = [
            prompt(&steps),
            used(),
            Turn::Used("of somebody else".to_owned()),
            Turn::Said("No response requested.".to_owned()),
            prompt(&steps),
        ];
        assert_eq!(next(&resumed), steps[1]);
        assert_eq!(
            next(&[prompt(&steps), used(), used(), Turn::Said("done".to_owned())]).usage,
            steps[0].usage
        );
        assert_eq!(next(&[Turn::User("hello".to_owned())]), Step::say("There is no script."));
    }

    #[test]
    fn a_refusal_gives_way_once_its_gate_is_open() {
        let refusal = Refusal {
            refuse: 429,
            kind: String::new(),
            message: String::new(),
            headers: Default::default(),
            fields: Default::default(),
            until: Some("later".to_owned()),
        };
        let steps = [Step::run("one"), refusal.into(), Step::say("done")];
        assert_eq!(next_step(&[prompt(&steps), used()], |_| false), steps[1]);
        assert_eq!(next_step(&[prompt(&steps), used()], |gate| gate == "later"), steps[2]);
    }
}
