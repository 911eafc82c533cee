//! The connection kind `kafka`, and what of librdkafka's settings it may set.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionKind, Secret, TaskError};

/// Client options that a connection may set; the rest decides about correctness and belongs to the tasks.
const OPTIONS: [&str; 16] = [
    "batch.size",
    "broker.address.family",
    "client.id",
    "enable.ssl.certificate.verification",
    "message.max.bytes",
    "metadata.max.age.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.endpoint.identification.algorithm",
];

/// How brokers are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

/// Where the brokers are. One of `bootstrap_servers` and `embedded: true` is needed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConnection {
    /// Brokers as `host:port`, several with commas; left out with `embedded: true`.
    #[serde(default)]
    pub bootstrap_servers: Option<String>,
    /// A broker in this process's memory instead; what it got is gone when the task ends.
    #[serde(default)]
    pub embedded: bool,
    /// How brokers are spoken to; `plaintext` if left out.
    #[serde(default)]
    pub security_protocol: Option<SecurityProtocol>,
    /// How SASL authenticates: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    #[serde(default)]
    pub sasl_mechanism: Option<String>,
    /// User of SASL.
    #[serde(default)]
    pub sasl_username: Option<String>,
    /// Password of SASL.
    #[serde(default)]
    pub sasl_password: Option<Secret>,
    /// File with the certificates to trust (PEM); the system's if left out.
    #[serde(default)]
    pub ssl_ca_location: Option<String>,
    /// Whether a publish is one transaction: all its messages or none, and a batch only once. Not for the embedded broker,
    /// which delivers what was aborted.
    #[serde(default)]
    pub transactions: bool,
    /// Compacted topic that keeps which batches were published; made if brokers do not have it. Only with `transactions`.
    #[serde(default = "batches_topic")]
    pub batches_topic: String,
    /// Longest that a transaction may stay open, outages of brokers included, in milliseconds; at most the brokers'
    /// `transaction.max.timeout.ms` (15 minutes by default).
    #[serde(default = "transaction_timeout_ms")]
    pub transaction_timeout_ms: u64,
    /// More settings of the client, by librdkafka's names; a closed list.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

fn batches_topic() -> String {
    "updraft.batches".to_owned()
}

const fn transaction_timeout_ms() -> u64 {
    900_000
}

impl ConnectionKind for KafkaConnection {
    const KIND: &'static str = "kafka";
    const SUMMARY: &'static str = "Kafka brokers, or one in memory";
}

fn bad(text: String) -> TaskError {
    TaskError::fail("BadConnection", text)
}

impl KafkaConnection {
    /// The client's settings.
    ///
    /// # Errors
    /// `fail` `BadConnection`.
    pub fn config(&self) -> Result<ClientConfig, TaskError> {
        let mut config = ClientConfig::new();
        match (&self.bootstrap_servers, self.embedded) {
            (Some(_), true) => {
                return Err(bad(
                    "the kafka connection has `bootstrap_servers` and `embedded: true`: leave one out".to_owned()
                ));
            }
            (None, false) => {
                return Err(bad(
                    "the kafka connection has no brokers: set `bootstrap_servers: host:port`, or `embedded: true` for one in memory"
                        .to_owned(),
                ));
            }
            (None, true) if self.transactions => {
                return Err(bad(
                    "the kafka connection has `embedded: true` and `transactions: true`, but the embedded broker delivers what \
                     was aborted: leave `transactions` out"
                        .to_owned(),
                ));
            }
            (None, true) => {
                config.set("test.mock.num.brokers", "1");
            }
            (Some(servers), false) => {
                config.set("bootstrap.servers", servers);
            }
        }
        for (name, value) in &self.options {
            if !OPTIONS.contains(&name.as_str()) {
                return Err(bad(format!(
                    "`options.{name}` of the kafka connection cannot be set; these can: {}",
                    OPTIONS.join(", ")
                )));
            }
            config.set(name, value);
        }
        if let Some(protocol) = self.security_protocol {
            config.set("security.protocol", protocol.name());
        }
        let plain = [
            ("sasl.mechanism", self.sasl_mechanism.as_deref()),
            ("sasl.username", self.sasl_username.as_deref()),
            ("sasl.password", self.sasl_password.as_ref().map(Secret::expose)),
            ("ssl.ca.location", self.ssl_ca_location.as_deref()),
        ];
        for (name, value) in plain {
            if let Some(value) = value {
                config.set(name, value);
            }
        }
        Ok(config)
    }

    /// For tasks that work on what others see of brokers.
    ///
    /// # Errors
    /// `fail` `BadConnection`: the broker is the embedded one.
    pub fn must_be_shared(&self) -> Result<(), TaskError> {
        if self.embedded {
            return Err(bad(
                "the kafka connection has `embedded: true`, but that broker lives as long as one publish: nothing is there \
                 afterwards. Set `bootstrap_servers` for this task"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Where messages go, for people.
    pub fn place(&self) -> &str {
        self.bootstrap_servers.as_deref().unwrap_or("the embedded broker")
    }
}
