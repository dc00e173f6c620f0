//! The dimmer: what it measures, what it leaves out, whom, and how it is told.

use seaworthy_kit::telemetry::Event;
use seaworthy_kit::testing::{ManualClock, Recorder, conformance};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

fn dimmer(clock: &ManualClock) -> Dimmer {
    let builder = Dimmer::builder("shop", 100 * MS).clock(clock.clock());
    builder.build().unwrap()
}

/// Seconds of thirty calls each that took so long.
fn seconds(dimmer: &Dimmer, clock: &ManualClock, seconds: u32, took: Duration) {
    for _ in 0..seconds {
        clock.advance(SECOND);
        (0..30).for_each(|_| dimmer.record(took));
    }
}

#[test]
fn slow_calls_dim_and_it_is_told() {
    let clock = ManualClock::new();
    let dimmer = dimmer(&clock);
    let recorder = Recorder::new();
    let _subscription = dimmer.subscribe(recorder.listener());
    seconds(&dimmer, &clock, 4, 200 * MS);
    assert!(dimmer.share().as_f64() < 0.9, "{dimmer:?}");
    let [Event::ShareMoved { from, to, latency }, ..] = recorder.events()[..] else {
        panic!("{:?}", recorder.events());
    };
    assert!(from == 1.0 && to < 1.0 && latency > 190 * MS && latency < 230 * MS);
}

#[test]
fn share_that_stays_is_not_told() {
    let clock = ManualClock::new();
    let dimmer = dimmer(&clock);
    let recorder = Recorder::new();
    let _subscription = dimmer.subscribe(recorder.listener());
    seconds(&dimmer, &clock, 10, MS);
    assert!(recorder.events().is_empty());
}

#[test]
fn option_that_cannot_work_is_an_error_when_built() {
    assert!(Dimmer::builder("shop", Duration::ZERO).build().is_err());
    let builder = Dimmer::builder("shop", SECOND);
    assert!(builder.clone().pole(1.0).build().is_err());
    assert!(builder.clone().least(0.5).most(0.4).build().is_err());
    assert!(builder.clone().period(Duration::ZERO).build().is_err());
    assert!(builder.clone().quantile(0.0).build().is_err());
    assert!(builder.clone().rotation(SECOND).build().is_err());
    assert!(builder.min_samples(0).build().is_err());
}

#[tokio::test]
async fn part_of_the_callers_goes_without_and_always_the_same_ones() {
    let clock = ManualClock::new();
    let dimmer = Dimmer::builder("shop", SECOND)
        .most(0.5)
        .clock(clock.clock());
    let dimmer = dimmer.build().unwrap();
    let ask = |name, user: u32| {
        gather(
            feature(name)
                .dimmed_for(&dimmer, &user)
                .fallback(0)
                .run(up(1)),
        )
    };
    let mut served = Vec::new();
    for user in 0..1000 {
        let (value, less) = ask("reviews", user).await;
        let value = value.unwrap();
        assert_eq!(ask("reviews", user).await.0.unwrap(), value, "sticky");
        let dimmed = [("reviews", "dimmed", "value")];
        assert_eq!(list(less), if value == 0 { &dimmed[..] } else { &[] });
        served.push(value);
    }
    let count = served.iter().sum::<u32>();
    assert!((400..600).contains(&count), "{count}");
    let mut same = 0;
    for user in 0..1000 {
        same += u32::from(ask("price", user).await.0.unwrap() == served[user as usize]);
    }
    assert!(
        (400..600).contains(&same),
        "other callers for another feature: {same}"
    );
}

#[tokio::test]
async fn callers_take_turns_at_going_without() {
    let clock = ManualClock::new();
    let dimmer = |rotation| {
        let dimmer = Dimmer::builder("shop", SECOND)
            .most(0.75)
            .rotation(rotation);
        dimmer.clock(clock.clock()).build().unwrap()
    };
    let (turns, stays) = (dimmer(40 * 60 * SECOND), dimmer(Duration::MAX));
    let (mut with, mut always) = ([0; 100], [0; 100]);
    for _ in 0..40 {
        let mut all = 0;
        for user in 0..100 {
            let ask = |dimmer| feature("x").dimmed_for(dimmer, &user).fallback(0);
            let has = ask(&turns).run(up(1)).await.unwrap();
            with[user] += has;
            all += has;
            always[user] += ask(&stays).run(up(1)).await.unwrap();
        }
        assert!((60..90).contains(&all), "at any time most have it: {all}");
        clock.advance(60 * SECOND);
    }
    // Three quarters of forty minutes, give or take a minute at both ends.
    assert!(
        with.iter().all(|minutes| (29..=31).contains(minutes)),
        "{with:?}"
    );
    assert!(always.iter().all(|minutes| [0, 40].contains(minutes)));
}

#[tokio::test]
async fn without_a_caller_chance_decides_and_what_is_critical_stays() {
    let dimmer = Dimmer::builder("shop", SECOND).most(0.5).build().unwrap();
    let mut served = 0;
    for _ in 0..1000 {
        served += feature("x")
            .dimmed(&dimmer)
            .fallback(0)
            .run(up(1))
            .await
            .unwrap();
        let critical = feature("x").critical(true).dimmed(&dimmer).fallback(0);
        assert_eq!(critical.run(up(1)).await.unwrap(), 1);
    }
    assert!((350..650).contains(&served), "{served}");
}

#[tokio::test]
async fn layer_measures_what_calls_take_and_not_what_was_refused() {
    let clock = ManualClock::new();
    let dimmer = dimmer(&clock);
    let takes = clock.clone();
    let mut service = DimmerLayer::plain(&dimmer).layer(service_fn(move |refuse: bool| {
        takes.advance(200 * MS);
        ready(if refuse {
            let kind = RejectionKind::BulkheadFull;
            Err(Box::new(Rejection::new(kind, "x".into())) as BoxError)
        } else {
            Ok(())
        })
    }));
    for _ in 0..500 {
        let _ = service.ready().await.unwrap().call(true).await;
    }
    assert_eq!(dimmer.share().as_f64(), 1.0);
    for _ in 0..60 {
        let _ = service.ready().await.unwrap().call(false).await;
    }
    assert!(dimmer.share().as_f64() < 1.0);
}

#[cfg(feature = "http")]
#[tokio::test]
async fn slow_reader_of_a_body_does_not_dim() {
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    let clock = ManualClock::new();
    let dimmer = dimmer(&clock);
    let mut service = DimmerLayer::http(&dimmer).layer(service_fn(|_: Request<()>| {
        let body = Full::new(bytes::Bytes::from("page"));
        ready(Ok::<_, BoxError>(Response::new(body)))
    }));
    for _ in 0..100 {
        let response = service
            .ready()
            .await
            .unwrap()
            .call(Request::new(()))
            .await
            .unwrap();
        clock.advance(200 * MS);
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(dimmer.share().as_f64(), 1.0);
}

mod contract {
    use seaworthy_kit::Plain;

    use super::*;

    fn layer() -> DimmerLayer<Plain> {
        DimmerLayer::plain(&Dimmer::builder("shop", SECOND).build().unwrap())
    }

    conformance! {
        layer: layer,
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer: &DimmerLayer<Plain>| layer.handle().in_flight(),
        events: |layer: &DimmerLayer<Plain>, recorder| {
            layer.handle().subscribe(recorder.listener()).forever();
        },
        drains: |layer: &DimmerLayer<Plain>| layer.handle().drain(),
        meddles: |layer: &DimmerLayer<Plain>, _| layer.handle().control().resume(),
    }
}
