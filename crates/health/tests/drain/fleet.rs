//! Two servers that are restarted in turn.

use servers::free_port;

use crate::load::{Load, Tally};
use crate::process::Server;

/// So many calls take longer than a slow one.
const WARM: usize = 400;

/// Two servers of one kind, and those that were there before.
pub(crate) struct Fleet {
    pub(crate) servers: [Server; 2],
    names: [String; 2],
    options: Vec<&'static str>,
    /// How many there have been.
    count: usize,
    /// Calls that were begun in those that are over.
    calls: usize,
}

impl Fleet {
    pub(crate) fn start(options: &[&'static str]) -> Self {
        let names = ["1", "2"].map(ToOwned::to_owned);
        let servers = names.each_ref().map(|name| {
            let address = format!("127.0.0.1:{}", free_port());
            serve(&address, name, options)
        });
        Self {
            servers,
            names,
            options: options.to_vec(),
            count: 2,
            calls: 0,
        }
    }

    pub(crate) fn addresses(&self) -> [String; 2] {
        self.servers.each_ref().map(|server| server.address.clone())
    }

    /// Restarts one after the other, so many times in all, and goes on when a successor serves.
    pub(crate) async fn roll(&mut self, load: &Load, times: usize) {
        for name in &self.names {
            load.is_answered_by(name).await;
        }
        load.goes_on(WARM).await;
        for at in (0..times).map(|time| time % 2) {
            self.servers[at].signal();
            let ended = self.servers[at].end().await;
            ended.is_clean();
            self.calls += ended.calls;
            self.count += 1;
            self.names[at] = self.count.to_string();
            let address = self.servers[at].address.clone();
            self.servers[at] = serve(&address, &self.names[at], &self.options);
            load.is_answered_by(&self.names[at]).await;
        }
    }

    /// Ends them, and holds what they say against what their callers say: no call failed, and none was made twice.
    pub(crate) async fn end(mut self, tally: Tally) {
        for server in &mut self.servers {
            server.signal();
            // No load any more, so no grace.
            server.signal();
            let ended = server.end().await;
            ended.is_clean();
            self.calls += ended.calls;
        }
        assert_eq!(tally.failed, [""; 0], "of {}", tally.sent);
        assert_eq!(tally.answered.len(), self.count, "{:?}", tally.answered);
        assert_eq!(tally.answered.values().sum::<usize>(), tally.sent);
        assert_eq!(self.calls, tally.sent);
    }
}

fn serve(address: &str, name: &str, options: &[&'static str]) -> Server {
    let mut options = options.to_vec();
    options.extend(["--name", name]);
    Server::start(address, &options)
}
