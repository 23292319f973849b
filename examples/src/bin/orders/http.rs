//! The requests, and what each refusal is in HTTP.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::orders::{Done, NewOrder, OrderError, Orders};

/// The largest request; about ten thousand orders.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The service.
pub(crate) fn router(orders: Orders) -> Router {
    Router::new()
        .route("/orders", post(place))
        .route("/orders/batch", post(place_all))
        .route("/orders/{id}/cancel", post(cancel))
        .route("/health", get(health))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(orders)
}

#[derive(Debug, Deserialize)]
struct NewOrders {
    orders: Vec<NewOrder>,
}

#[derive(Debug, Serialize)]
struct AllDone {
    orders: Vec<Done>,
}

async fn place(
    State(orders): State<Orders>,
    Json(order): Json<NewOrder>,
) -> Result<(StatusCode, Json<Done>), OrderError> {
    Ok((StatusCode::CREATED, Json(orders.place(&order).await?)))
}

async fn place_all(
    State(orders): State<Orders>,
    Json(new): Json<NewOrders>,
) -> Result<(StatusCode, Json<AllDone>), OrderError> {
    let orders = orders.place_all(new.orders).await?;
    Ok((StatusCode::CREATED, Json(AllDone { orders })))
}

async fn cancel(
    State(orders): State<Orders>,
    Path(id): Path<Uuid>,
) -> Result<Json<Done>, OrderError> {
    Ok(Json(orders.cancel(id).await?))
}

async fn health(State(orders): State<Orders>) -> Result<(), OrderError> {
    orders.health().await
}

impl IntoResponse for OrderError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Premium => StatusCode::BAD_REQUEST,
            Self::OverLimit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Cancelled => StatusCode::CONFLICT,
            Self::Message(_) | Self::Enqueue(_) | Self::Database(_) => {
                tracing::error!(error = &self as &dyn std::error::Error, "a request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let error = self.to_string();
        let body = match self {
            Self::OverLimit { message_ids, .. } => {
                let ids: Vec<String> = message_ids.iter().map(ToString::to_string).collect();
                json!({ "error": error, "message_ids": ids })
            }
            _ => json!({ "error": error }),
        };
        (status, Json(body)).into_response()
    }
}
