//! Which scope a method needs.

use cornjacket_domain::{Caller, Scope};
use cornjacket_proto::status::{ErrorKind, Failure};

/// What a method asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A token with this scope.
    Scope(Scope),
    /// Nothing that a token says, since it tells nothing about events: health and reflection.
    Public,
    /// Nobody may call it: it is not one of ours.
    Unknown,
}

/// Every service, with what all of its methods need.
const SERVICES: [(&str, Access); 7] = [
    ("cornjacket.ingest.v1.IngestService", Access::Scope(Scope::Ingest)),
    ("cornjacket.query.v1.QueryService", Access::Scope(Scope::Query)),
    ("cornjacket.actions.v1.ActionService", Access::Scope(Scope::Actions)),
    ("cornjacket.admin.v1.AdminService", Access::Scope(Scope::Admin)),
    ("grpc.health.v1.Health", Access::Public),
    ("grpc.reflection.v1.ServerReflection", Access::Public),
    ("grpc.reflection.v1alpha.ServerReflection", Access::Public),
];

/// What the method needs that calls of this path (`/package.Service/Method`) are for.
pub fn needed(path: &str) -> Access {
    let method = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let Some((service, method)) = method else {
        return Access::Unknown;
    };
    if method.is_empty() || method.contains('/') {
        return Access::Unknown;
    }
    SERVICES.into_iter().find(|(name, _)| *name == service).map_or(Access::Unknown, |(_, access)| access)
}

impl Access {
    /// Whether `caller` may call a method that needs this.
    pub fn allow(self, caller: &Caller) -> Result<(), Failure> {
        match self {
            Self::Scope(scope) => caller.authorize(scope),
            Self::Public => Ok(()),
            Self::Unknown => Err(Failure::new(ErrorKind::PermissionDenied, "no such method may be called")
                .with_reason("METHOD_REFUSED", [])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_of_the_contract_has_a_line() {
        for service in cornjacket_proto::DESCRIPTOR_POOL.services() {
            let path = format!("/{}/Any", service.full_name());
            assert!(matches!(needed(&path), Access::Scope(_)), "{path} has no line in SERVICES");
        }
    }

    #[test]
    fn a_path_that_is_not_quite_a_method_is_refused() {
        let service = "cornjacket.ingest.v1.IngestService";
        assert_eq!(needed(&format!("/{service}/Append")), Access::Scope(Scope::Ingest));
        for path in [
            String::new(),
            "/".into(),
            format!("/{service}"),
            format!("/{service}/"),
            format!("{service}/Append"),
            format!("//{service}/Append"),
            format!("/{service}/Append/"),
            format!("/{}/Append", service.to_lowercase()),
            format!("/{service}%2fAppend"),
            "/cornjacket.ingest.v1/Append".into(),
        ] {
            assert_eq!(needed(&path), Access::Unknown, "{path}");
        }
    }

    #[test]
    fn a_method_is_for_callers_with_its_scope() {
        let caller = Caller::new("someone", &[Scope::Query]);
        assert!(needed("/cornjacket.query.v1.QueryService/ListEvents").allow(&caller).is_ok());
        for path in ["/cornjacket.admin.v1.AdminService/PauseConsumer", "/other.Service/Method"] {
            let refused = needed(path).allow(&caller).expect_err("not the caller's");
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{path}");
        }
    }
}
