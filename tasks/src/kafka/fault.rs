//! What librdkafka's errors mean for the task: passing, ours, or fatal for this producer.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use updraft_task::{ErrorClass, TaskError};

pub(super) const BROKER: ErrorClass = ErrorClass {
    name: "Broker",
    retryable: true,
    meaning: "brokers cannot be reached, or did not acknowledge in time",
};
pub(super) const FATAL: ErrorClass = ErrorClass {
    name: "Fatal",
    retryable: true,
    meaning: "the idempotent producer lost its sequence; a new attempt makes a new one",
};
pub(super) const FENCED: ErrorClass = ErrorClass {
    name: "ProducerFenced",
    retryable: true,
    meaning: "a later attempt took over, or the transaction was open too long and brokers ended it; nothing of it was committed",
};
pub(super) const AUTH: ErrorClass = ErrorClass {
    name: "Auth",
    retryable: false,
    meaning: "brokers refuse the credentials, the certificate or the topic",
};
pub(super) const TOO_LARGE: ErrorClass = ErrorClass {
    name: "TooLarge",
    retryable: false,
    meaning: "a message is larger than the broker or client allows, and there is no dead-letter topic",
};
pub(super) const UNKNOWN_TOPIC: ErrorClass = ErrorClass {
    name: "UnknownTopic",
    retryable: false,
    meaning: "the topic does not exist and brokers do not create it",
};

const AUTH_CODES: [Code; 9] = [
    Code::Authentication,
    Code::SSL,
    Code::SaslAuthenticationFailed,
    Code::TopicAuthorizationFailed,
    Code::ClusterAuthorizationFailed,
    Code::TransactionalIdAuthorizationFailed,
    Code::UnsupportedSASLMechanism,
    Code::IllegalSASLState,
    Code::InvalidConfig,
];
const SIZE_CODES: [Code; 2] = [Code::MessageSizeTooLarge, Code::InvalidMessageSize];
const TOPIC_CODES: [Code; 4] =
    [Code::UnknownTopic, Code::UnknownTopicOrPartition, Code::UnknownPartition, Code::InvalidTopic];
const FATAL_CODES: [Code; 2] = [Code::Fatal, Code::OutOfOrderSequenceNumber];
const FENCED_CODES: [Code; 4] =
    [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch, Code::InvalidProducerIdMapping];

/// The error's code, also those of an admin's calls, which the client itself leaves out.
pub(super) fn code(error: &KafkaError) -> Code {
    match error {
        KafkaError::AdminOp(code) => *code,
        other => other.rdkafka_error_code().unwrap_or(Code::Unknown),
    }
}

/// Whether the message was too large to be sent.
pub(super) fn is_too_large(error: &KafkaError) -> bool {
    SIZE_CODES.contains(&code(error))
}

/// Whether waiting for the broker is useless. A TLS connection may also break because a broker restarts; only a word about
/// certificates says that it will break again.
pub(super) fn is_hopeless(error: &KafkaError, reason: &str) -> bool {
    let code = code(error);
    let lasting = code != Code::SSL || reason.to_lowercase().contains("certificate");
    (AUTH_CODES.contains(&code) && lasting) || FATAL_CODES.contains(&code) || FENCED_CODES.contains(&code)
}

/// The task's error for a client's; `detail` is what the client last said about its brokers.
pub(super) fn task_error(doing: &str, error: &KafkaError, detail: Option<&str>) -> TaskError {
    let detail = detail.map(|detail| format!(" (last from the client: {detail})")).unwrap_or_default();
    let text = format!("cannot {doing}: {error}{detail}");
    let code = code(error);
    if AUTH_CODES.contains(&code) {
        return TaskError::fail(
            AUTH.name,
            format!("{text}. Check user, password, certificate and the rights on the topic"),
        );
    }
    if SIZE_CODES.contains(&code) {
        return TaskError::fail(
            TOO_LARGE.name,
            format!("{text}. Raise `message.max.bytes` of connection and broker, or set `dead_letter`"),
        );
    }
    if TOPIC_CODES.contains(&code) {
        return TaskError::fail(UNKNOWN_TOPIC.name, format!("{text}. Create the topic, or let brokers create topics"));
    }
    if code == Code::InvalidTransactionTimeout {
        return TaskError::fail(
            "BadConnection",
            format!(
                "{text}. Lower `transaction_timeout_ms` of the connection to the brokers' `transaction.max.timeout.ms`"
            ),
        );
    }
    // A retry is right for the zombie too: what it answers counts no more.
    if FENCED_CODES.contains(&code) {
        return TaskError::retry(FENCED.name, text);
    }
    if FATAL_CODES.contains(&code) {
        return TaskError::retry(FATAL.name, text);
    }
    TaskError::retry(BROKER.name, text)
}
