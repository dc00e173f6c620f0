//! The payments API over gRPC.

use axum::{Router, body::Body, http};
use seaworthy::health::Health;
use tonic::{Code, Request, Response, Status, metadata::MetadataValue, service::Routes};
use tower::ServiceExt;

use crate::{
    cashier::{Cashier, NotPaid, Why},
    keys,
    payment::{self, NewPayment},
    probes,
    proto::payments::{
        CreatePaymentRequest, FraudCheck, GetPaymentRequest, Payment, Status as PaymentStatus,
        payments_server::{self, PaymentsServer},
    },
    stack::FrontLayer,
};

#[derive(Clone, Debug)]
struct PaymentsService {
    cashier: Cashier,
}

/// The whole service, and its health. Only making payments is guarded, as over HTTP.
pub(crate) fn routes(cashier: Cashier, guard: FrontLayer, health: &Health) -> Routes {
    let service = PaymentsServer::new(PaymentsService { cashier });
    let guarded = service
        .clone()
        .map_request(|request: http::Request<Body>| request.map(tonic::body::Body::new));
    let create = Router::new()
        .route_service("/payments.v1.Payments/CreatePayment", guarded)
        .route_layer(guard);
    let mut routes = Routes::new(service);
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = router.merge(create).merge(probes::over_grpc(health));
    routes
}

#[tonic::async_trait]
impl payments_server::Payments for PaymentsService {
    async fn create_payment(
        &self,
        request: Request<CreatePaymentRequest>,
    ) -> Result<Response<Payment>, Status> {
        let CreatePaymentRequest {
            amount,
            currency,
            card_token,
            merchant_id,
            idempotency_key,
        } = request.into_inner();
        let new = NewPayment {
            amount,
            currency,
            card_token,
            merchant_id,
            idempotency_key,
        };
        if let Some((name, why)) = new.wrong().first() {
            keys::free();
            return Err(Status::invalid_argument(format!("{name} {why}")));
        }
        let payment = self.cashier.pay(new).await?;
        let status = MetadataValue::from_static(payment.status.as_str());
        let mut response = Response::new(payment.into());
        response.metadata_mut().insert(keys::PAYMENT_STATUS, status);
        Ok(response)
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<Payment>, Status> {
        let payment = self.cashier.store.get(&request.get_ref().payment_id);
        let payment = payment.ok_or_else(|| Status::not_found("there is no such payment"))?;
        Ok(Response::new(payment.into()))
    }
}

impl From<NotPaid> for Status {
    fn from(NotPaid { payment_id, why }: NotPaid) -> Self {
        // As gRPC maps the statuses that HTTP callers get.
        let code = match why {
            Why::QueueFull { .. } | Why::Busy { .. } | Why::BadGateway | Why::AnswerLost => {
                Code::Unavailable
            }
            Why::TimedOut { .. } => Code::DeadlineExceeded,
            // Not one that clients answer by trying again.
            Why::Disputed => Code::Unknown,
        };
        let mut status = Self::new(code, why.as_str());
        // So that its caller can look the payment up, as over HTTP.
        if let Ok(payment_id) = payment_id.parse() {
            status.metadata_mut().insert("payment-id", payment_id);
        }
        status
    }
}

impl From<payment::Payment> for Payment {
    fn from(payment: payment::Payment) -> Self {
        let status = match payment.status {
            payment::Status::Processing => PaymentStatus::Processing,
            payment::Status::Queued => PaymentStatus::Queued,
            payment::Status::Approved => PaymentStatus::Approved,
            payment::Status::Declined => PaymentStatus::Declined,
            payment::Status::Failed => PaymentStatus::Failed,
            payment::Status::Unknown => PaymentStatus::Unknown,
        };
        let fraud_check = match payment.fraud_check {
            None => FraudCheck::Unspecified,
            Some(payment::FraudCheck::Passed) => FraudCheck::Passed,
            Some(payment::FraudCheck::Rejected) => FraudCheck::Rejected,
            Some(payment::FraudCheck::Skipped) => FraudCheck::Skipped,
        };
        Self {
            payment_id: payment.payment_id,
            status: status.into(),
            amount: payment.amount,
            currency: payment.currency,
            fraud_check: fraud_check.into(),
            message: payment.message.unwrap_or_default().to_owned(),
            charge_id: payment.charge_id.unwrap_or_default(),
        }
    }
}
