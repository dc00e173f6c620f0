//! Errors of the inner service.

use crate::BoxError;
use crate::testing::inner::Fault;
use crate::testing::rig::Rig;
use crate::testing::subject::{Errors, Subjected};

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// An error of the inner service passes as it is, or as the source of another, as the layer says.
    pub fn inner_error_passes(&mut self) {
        let fault = Fault::new(42);
        let mut future = self.call(&mut self.service());
        let Err(error) = self.drive(&mut future, |exchange| exchange.fail(fault)) else {
            panic!("the inner service failed");
        };
        self.assert_passed_on(&error, fault);
        self.assert_usable();
    }

    pub(super) fn assert_passed_on(&self, error: &BoxError, fault: Fault) {
        if let Some(found) = error.downcast_ref::<Fault>() {
            assert_eq!(*found, fault);
            return;
        }
        assert_eq!(
            self.subject.errors,
            Errors::wrapped,
            "the inner error did not pass as it is, but as: {error}"
        );
        let mut next = error.source();
        while let Some(source) = next {
            if let Some(found) = source.downcast_ref::<Fault>() {
                assert_eq!(*found, fault);
                return;
            }
            next = source.source();
        }
        panic!("the inner error is no source of: {error}");
    }
}
