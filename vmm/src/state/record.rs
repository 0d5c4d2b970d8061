//! What is remembered of a container.

use std::{collections::HashMap, path::PathBuf};

use guest_abi::container::ProcessSpec;
use oci_spec::runtime::Hooks;
use serde::{Deserialize, Serialize};

use super::ProcessIdentity;
use crate::cgroups::Cgroup;

/// One container, as the command that made it saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Absolute path of its bundle.
    pub bundle: PathBuf,
    /// Absolute path of its root.
    pub rootfs: PathBuf,
    /// Its stand-in: the process that others know it by.
    pub stand_in: ProcessIdentity,
    /// Whether it was made completely.
    pub is_created: bool,
    /// When, in RFC 3339.
    pub created: String,
    /// Name of the user who made it.
    pub owner: String,
    /// Annotations of config.json.
    pub annotations: HashMap<String, String>,
    /// Hooks that commands after its creation run.
    pub hooks: Option<Hooks>,
    /// Its first process, as which startContainer hooks run; kept if there are such hooks.
    pub process: Option<ProcessSpec>,
    /// Its control group, if it has one.
    pub cgroup: Option<Cgroup>,
}

impl Record {
    /// Whether its program has ended, for good; a sandbox process need not be asked for that.
    pub fn has_stopped(&self) -> bool {
        !self.stand_in.is_alive()
    }
}

#[cfg(test)]
impl Record {
    /// Any record.
    pub fn example() -> Self {
        Self {
            id: "one".to_owned(),
            bundle: "/bundle".into(),
            rootfs: "/bundle/rootfs".into(),
            stand_in: ProcessIdentity { pid: 7, start_ticks: 8 },
            is_created: true,
            created: "2026-11-22T00:00:00Z".to_owned(),
            owner: "root".to_owned(),
            annotations: HashMap::from([("a".to_owned(), "b".to_owned())]),
            hooks: None,
            process: None,
            cgroup: Some(Cgroup::new("/x".as_ref(), false, "one")),
        }
    }
}
