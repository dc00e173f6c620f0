//! The paths of health as routes of axum.

use axum::Router;

use super::layer::HealthLayer;

impl HealthLayer {
    /// The paths of health as an axum router, to be merged into another, or served on a listener of its own.
    ///
    /// Merged, they are inside of the layers that stand around the other router; as a layer outside of all they are not.
    #[must_use = "a router does nothing until it is served or merged"]
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let service = self.service();
        let mut router = Router::new();
        for (option, path) in self.options().paths() {
            let path = match option {
                "groups_path" => format!("{path}/{{name}}"),
                _ => path.to_owned(),
            };
            router = router.route_service(&path, service.clone());
        }
        router
    }
}
