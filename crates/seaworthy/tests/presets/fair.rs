//! Tenants share the adaptive limit of a server, or of each of its routes.

use std::future::pending;
use std::num::NonZeroUsize;

use seaworthy::adaptive::{AdaptiveHandle, tenant};
use seaworthy::prelude::*;
use tower::{Layer, Service, ServiceExt, service_fn};

/// Where it goes, and whose it is.
type Asked = (&'static str, &'static str);

/// Makes calls that do not end, one after the other.
async fn call<S>(service: &S, asked: Asked, calls: usize)
where
    S: Service<Asked, Error = BoxError, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
{
    for _ in 0..calls {
        tokio::spawn(service.clone().oneshot(asked));
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn tenants_share_the_adaptive_limit_of_a_server() {
    let stack = server("shop").plain().without_bulkhead().adaptive(|it| {
        let limit = it.initial(4).max(4);
        limit.fair_by(|asked: &Asked| tenant(asked.1))
    });
    let stack = stack.build().unwrap();
    stack.publish();
    let service = stack.layer(service_fn(|_: Asked| pending::<Result<(), BoxError>>()));
    call(&service, ("a", "noisy"), 9).await;
    call(&service, ("a", "quiet"), 1).await;
    let seen = stack.adaptive().snapshot();
    assert_eq!((seen.running, seen.tenants), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn tenants_share_the_adaptive_limit_of_each_route() {
    let stack = server("shop").plain().without_bulkhead().adaptive(|it| {
        let limit = it.initial(4).max(4);
        let limit = limit.fair_by(|asked: &Asked| tenant(asked.1));
        limit.keyed(NonZeroUsize::MIN.saturating_add(8), |asked: &Asked| asked.0)
    });
    let stack = stack.build().unwrap();
    stack.publish();
    let service = stack.layer(service_fn(|_: Asked| pending::<Result<(), BoxError>>()));
    call(&service, ("a", "noisy"), 9).await;
    call(&service, ("a", "quiet"), 1).await;
    call(&service, ("b", "noisy"), 1).await;
    let running = ["a", "b"].map(|route| {
        let share = stack.adaptive().get(&route).unwrap();
        AdaptiveHandle::from(share).snapshot().running
    });
    assert_eq!(running, [5, 1]);
}
