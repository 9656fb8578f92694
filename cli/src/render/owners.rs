//! Owners and what they may have.

use console::style;
use makima_shared::domain::OwnerSettings;

use super::one_line;
use super::table::{Column, table};

/// Lays out owners.
pub(crate) fn owner_table(owners: &[OwnerSettings], width: Option<usize>) -> String {
    const COLUMNS: [Column; 6] = [
        Column::flexible("NAME"),
        Column::right("WEIGHT"),
        Column::right("RUNNING"),
        Column::right("PER CONTRACT"),
        Column::right("PER REPOSITORY"),
        Column::right("SUBMITS A MINUTE"),
    ];
    let limit = |limit: Option<i32>| limit.map_or_else(|| "any".to_owned(), |number| number.to_string());
    let row = |owner: &OwnerSettings| {
        vec![
            style(one_line(&owner.name)).bold().to_string(),
            owner.weight.to_string(),
            limit(owner.max_running),
            limit(owner.max_running_per_contract),
            limit(owner.max_running_per_repository),
            limit(owner.submissions_per_minute),
        ]
    };
    table(&COLUMNS, &owners.iter().map(row).collect::<Vec<_>>(), width)
}
