//! The payments API over gRPC.

use tonic::{Code, Request, Response, Status};

use crate::{
    cashier::{Cashier, NotPaid, Why},
    payment::{self, NewPayment},
    proto::payments::{
        CreatePaymentRequest, FraudCheck, GetPaymentRequest, Payment, Status as PaymentStatus,
        payments_server,
    },
};

#[derive(Clone, Debug)]
pub(crate) struct PaymentsService {
    cashier: Cashier,
}

impl PaymentsService {
    pub(crate) fn new(cashier: Cashier) -> Self {
        Self { cashier }
    }
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
            return Err(Status::invalid_argument(format!("{name} {why}")));
        }
        let payment = self.cashier.pay(new).await?;
        Ok(Response::new(payment.into()))
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
    fn from(NotPaid { why, .. }: NotPaid) -> Self {
        // As gRPC maps the statuses that HTTP callers get.
        let code = match why {
            Why::QueueFull { .. } | Why::Busy { .. } | Why::BadGateway => Code::Unavailable,
            Why::TimedOut { .. } => Code::DeadlineExceeded,
        };
        Self::new(code, why.as_str())
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
