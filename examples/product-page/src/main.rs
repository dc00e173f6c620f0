//! The page with its five upstreams, all on this machine.
#![expect(clippy::print_stdout, reason = "an example says what it sees")]

use product_page::{app, upstream};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:3000".into());
    let mut upstreams = upstream::Addresses::new();
    for (name, answer) in [
        ("product", json!({"name": "anchor"})),
        ("recommendations", json!(["chain", "shackle"])),
        ("reviews", json!([{"stars": 5}])),
        ("price", json!({"cents": 9900})),
        ("inventory", json!("LOW_STOCK")),
    ] {
        let address = upstream::start(answer).await?;
        println!("{name}: curl -X PUT http://{address}/faults/hang, or error, slow, ok");
        upstreams.insert(name, address);
    }
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("Listening: curl -i 'http://{address}/v1/products/7?user_id=1'");
    Ok(axum::serve(listener, app(upstreams).await).await?)
}
