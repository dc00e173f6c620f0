//! All features of an answer at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use seaworthy_kit::BoxError;

/// Runs all features of an answer concurrently, in this task: their values in the order in which they are given, or the first error of a critical one, on which the others are dropped.
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_degrade::{feature, together};
///
/// # async fn ask<T>(value: T) -> Result<T, std::io::Error> { Ok(value) }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), seaworthy_kit::BoxError> {
/// let hangs = async { std::future::pending::<Result<Option<u32>, std::io::Error>>().await };
/// let (product, reviews, price) = together((
///     feature("product").run(ask("anchor")),
///     feature("reviews").fallback(vec![]).run(ask(vec![5, 4])),
///     feature("price").timeout(Duration::from_millis(100)).fallback(None).run(hangs),
/// ))
/// .await?;
/// assert_eq!((product, reviews, price), ("anchor", vec![5, 4], None));
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// Dropping it drops all of them.
pub fn together<T: Features>(features: T) -> T::Together {
    features.together()
}

/// A tuple of futures that all give a value or an error of the answer: from one to twelve.
pub trait Features {
    /// The future of all of them.
    type Together: Future<Output = Result<Self::Values, BoxError>>;

    /// Their values.
    type Values;

    /// Joins them.
    fn together(self) -> Self::Together;
}

pin_project! {
    /// One of the futures, and its value once it is there.
    struct Part<F, T> {
        #[pin]
        future: Option<F>,
        value: Option<T>,
    }
}

impl<F, T> Part<F, T>
where
    F: Future<Output = Result<T, BoxError>>,
{
    const fn new(future: F) -> Self {
        Self {
            future: Some(future),
            value: None,
        }
    }

    /// Polls it unless it is over; whether it is.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<bool, BoxError> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Ok(true);
        };
        match future.poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(result) => {
                // What it held is not kept until the others are done.
                this.future.set(None);
                *this.value = Some(result?);
                Ok(true)
            }
        }
    }

    /// Drops it, and what it gave.
    fn cancel(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.future.set(None);
        *this.value = None;
    }

    fn take(self: Pin<&mut Self>) -> T {
        let value = self.project().value.take();
        value.expect("polled after it was ready")
    }
}

macro_rules! together {
    ($name:ident: $($F:ident $T:ident $part:ident),+) => {
        pin_project! {
            /// So many features of an answer at once; see [`together`](fn@together).
            #[must_use = "futures do nothing unless polled"]
            pub struct $name<$($F, $T),+> {
                $(#[pin] $part: Part<$F, $T>,)+
                // Who is polled first, another one each time.
                first: usize,
            }
        }

        impl<$($F, $T),+> Future for $name<$($F, $T),+>
        where
            $($F: Future<Output = Result<$T, BoxError>>,)+
        {
            type Output = Result<($($T,)+), BoxError>;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut this = self.project();
                let first = *this.first;
                let mut are_over = Ok(true);
                let mut count = 0;
                // From the first one on, and then those before it: the time slice of the task is for all of them, and whoever used it up each time would hold the others up.
                for is_before in [false, true] {
                    let mut at = 0;
                    $(
                        if (at < first) == is_before && let Ok(are) = are_over {
                            are_over = this.$part.as_mut().poll(cx).map(|is| is && are);
                        }
                        at += 1;
                    )+
                    count = at;
                }
                *this.first = if first + 1 < count { first + 1 } else { 0 };
                match are_over {
                    Ok(true) => Poll::Ready(Ok(($(this.$part.take(),)+))),
                    Ok(false) => Poll::Pending,
                    Err(error) => {
                        // Cancellation: at once, and not when somebody drops this.
                        $(this.$part.as_mut().cancel();)+
                        Poll::Ready(Err(error))
                    }
                }
            }
        }

        impl<$($F, $T),+> Features for ($($F,)+)
        where
            $($F: Future<Output = Result<$T, BoxError>>,)+
        {
            type Together = $name<$($F, $T),+>;
            type Values = ($($T,)+);

            #[expect(non_snake_case, reason = "the names of the types")]
            fn together(self) -> Self::Together {
                let ($($F,)+) = self;
                $name { $($part: Part::new($F),)+ first: 0 }
            }
        }

        impl<$($F, $T),+> fmt::Debug for $name<$($F, $T),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Together").finish_non_exhaustive()
            }
        }
    };
}

together!(Together1: A TA a);
together!(Together2: A TA a, B TB b);
together!(Together3: A TA a, B TB b, C TC c);
together!(Together4: A TA a, B TB b, C TC c, D TD d);
together!(Together5: A TA a, B TB b, C TC c, D TD d, E TE e);
together!(Together6: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f);
together!(Together7: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g);
together!(Together8: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g, H TH h);
together!(Together9: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g, H TH h, I TI i);
together!(Together10: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g, H TH h, I TI i, J TJ j);
together!(Together11: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g, H TH h, I TI i, J TJ j, K TK k);
together!(Together12: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g, H TH h, I TI i, J TJ j, K TK k, L TL l);
