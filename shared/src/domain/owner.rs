//! Tenants, and what the operator lets each of them have.

use serde::{Deserialize, Serialize};

use super::OwnerId;

/// An owner with what it may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerSettings {
    /// The owner.
    pub id: OwnerId,
    /// What people call it.
    pub name: String,
    /// Its share of the workers beside other owners that have something to do: 1 to 1,000.
    pub weight: i32,
    /// How many of its tasks may be released at once; no limit if none.
    pub max_running: Option<i32>,
    /// How many of one contract.
    pub max_running_per_contract: Option<i32>,
    /// How many on one repository.
    pub max_running_per_repository: Option<i32>,
    /// How many tasks a minute it may submit; any number if none.
    pub submissions_per_minute: Option<i32>,
}

/// What to change about an owner. The outer `None` leaves a setting as it is, the inner one takes a limit away.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnerChanges {
    /// See [`OwnerSettings::weight`].
    pub weight: Option<i32>,
    /// See [`OwnerSettings::max_running`].
    pub max_running: Option<Option<i32>>,
    /// See [`OwnerSettings::max_running_per_contract`].
    pub max_running_per_contract: Option<Option<i32>>,
    /// See [`OwnerSettings::max_running_per_repository`].
    pub max_running_per_repository: Option<Option<i32>>,
    /// See [`OwnerSettings::submissions_per_minute`].
    pub submissions_per_minute: Option<Option<i32>>,
}
