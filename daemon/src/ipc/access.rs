//! Who may do what.
//!
//! The first rule that applies decides: root and the daemon's own user are admin; a user whom `[access]` names has the highest role that
//! names them; a member of a group that `[access]` names has the highest of its roles; a member of the socket's group is operator. A name in
//! `[access]` thus also lowers a member of the socket's group to observer. Nobody else gets in.

use aesync_protocol::Error;
use aesync_protocol::error::ErrorCode;
use aesync_protocol::request::Request;
use aesync_protocol::response::Role;
use tokio::sync::watch;

/// The `[access]` table: user names, numeric ids, and groups as `@name` or `@id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLists {
    /// Those who may only look.
    pub observers: Vec<String>,
    /// Those who may sync and read and write records.
    pub operators: Vec<String>,
    /// Those who may do everything.
    pub admins: Vec<String>,
}

/// Puts another `[access]` table in force while the socket is served. Connections whose role it changes are closed after their pending
/// answers, and come back as what they are by then.
#[derive(Clone, Debug)]
pub struct Access(watch::Sender<AccessLists>);

impl Access {
    pub(super) fn new(lists: AccessLists) -> (Self, watch::Receiver<AccessLists>) {
        let (sender, receiver) = watch::channel(lists);
        (Self(sender), receiver)
    }

    /// Whoever connects after this is judged by these lists.
    pub fn set(&self, lists: AccessLists) {
        self.0.send_if_modified(|known| {
            let is_other = *known != lists;
            *known = lists;
            is_other
        });
    }
}

/// The lists with names resolved to numeric ids, and who is who by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// The daemon's own user.
    pub(super) own_user: u32,
    /// The socket's group.
    pub(super) socket_group: Option<u32>,
    /// Users with their highest role.
    pub(super) users: Vec<(u32, Role)>,
    /// Groups with their highest role.
    pub(super) groups: Vec<(u32, Role)>,
}

impl Rules {
    /// The role of a user with these groups; `None` for those who may not get in.
    pub(super) fn role(&self, user: u32, groups: &[u32]) -> Option<Role> {
        if self.is_admin_anyway(user) {
            return Some(Role::Admin);
        }
        let named = self.users.iter().filter(|(id, _)| *id == user).map(|(_, role)| *role).max();
        let by_group = || self.groups.iter().filter(|(id, _)| groups.contains(id)).map(|(_, role)| *role).max();
        let by_socket = || self.socket_group.filter(|group| groups.contains(group)).map(|_| Role::Operator);
        named.or_else(by_group).or_else(by_socket)
    }

    /// Whether the role follows from the user alone, so that the groups need not be looked up.
    pub(super) fn is_decided_by_user(&self, user: u32) -> bool {
        self.is_admin_anyway(user) || self.users.iter().any(|(id, _)| *id == user)
    }

    fn is_admin_anyway(&self, user: u32) -> bool {
        user == 0 || user == self.own_user
    }
}

/// Checks the role against the request.
///
/// # Errors
/// `permission_denied`, which names the role that is needed.
pub(super) fn check(role: Role, request: &Request) -> Result<(), Error> {
    let required = request.role();
    if role >= required {
        return Ok(());
    }
    let what = match request {
        Request::Subscribe(_) => "subscribe to these channels",
        _ => request.name(),
    };
    Err(Error::new(
        ErrorCode::PermissionDenied,
        format!("{what} needs the role {required}, and this connection has the role {role}"),
    )
    .hint("ask the administrator to add you to [access] in the daemon's configuration, or run it as a user who is in it")
    .with("required", required.as_str())
    .with("role", role.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_applies_decides_the_role() {
        let rules = Rules {
            own_user: 500,
            socket_group: Some(50),
            users: vec![(1, Role::Observer), (2, Role::Operator), (2, Role::Admin), (0, Role::Observer)],
            groups: vec![(60, Role::Observer), (61, Role::Admin)],
        };
        let cases: [(u32, &[u32], Option<Role>); 10] = [
            (0, &[], Some(Role::Admin)),
            (500, &[60], Some(Role::Admin)),
            (1, &[50, 61], Some(Role::Observer)),
            (2, &[], Some(Role::Admin)),
            (3, &[60], Some(Role::Observer)),
            (3, &[60, 50], Some(Role::Observer)),
            (3, &[60, 61], Some(Role::Admin)),
            (3, &[50], Some(Role::Operator)),
            (3, &[51], None),
            (3, &[], None),
        ];
        for (user, groups, role) in cases {
            assert_eq!(rules.role(user, groups), role, "user {user} in {groups:?}");
        }
    }

    #[test]
    fn an_observer_may_subscribe_to_what_carries_no_records() {
        for (channels, allowed) in [
            (r#"["status","notification","progress"]"#, true),
            (r#"["status","change"]"#, false),
            (r#"["outbox"]"#, false),
            ("[]", true),
        ] {
            let request = parse("subscribe", &format!(r#"{{"channels":{channels}}}"#));
            let outcome = check(Role::Observer, &request);
            assert_eq!(outcome.is_ok(), allowed, "{channels}");
            assert!(check(Role::Operator, &request).is_ok());
            if let Err(error) = outcome {
                assert!(error.is(ErrorCode::PermissionDenied) && error.message.contains("operator"), "{error}");
            }
        }
    }

    fn parse(method: &str, params: &str) -> Request {
        let raw = serde_json::value::RawValue::from_string(params.to_owned()).expect("JSON");
        Request::parse(method, Some(&raw)).expect("a request")
    }
}
