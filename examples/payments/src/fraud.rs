//! The built-in fraud service (gRPC): objects to one card, unless told to fail.

use tonic::{Request, Response, Status};

use crate::{
    faults::{Faulted, Switch},
    proto::fraud::{CheckRequest, CheckResponse, fraud_server},
};

/// The token of the one card that is refused.
pub(crate) const STOLEN_CARD: &str = "tok_stolen";

#[derive(Clone, Debug)]
pub(crate) struct FraudService {
    switch: Switch,
}

impl FraudService {
    pub(crate) fn new(switch: Switch) -> Self {
        Self { switch }
    }
}

#[tonic::async_trait]
impl fraud_server::Fraud for FraudService {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        self.switch
            .suffer()
            .await
            .map_err(|Faulted| Status::unavailable("the fraud service is told to fail"))?;
        let allowed = request.get_ref().card_token != STOLEN_CARD;
        Ok(Response::new(CheckResponse { allowed }))
    }
}
