#include "telemetry/batch_sender.h"

#include <utility>

namespace leadsman {
namespace {

using std::chrono::seconds;

constexpr seconds kLongestPause{30};

/// A token may be replaced, and what waits is worth it; a peer that is busy may be less so later.
bool RefusedForGood(int status) {
  return status >= 400 && status < 500 && status != 401 && status != 403 && status != 408 &&
         status != 429;
}

}  // namespace

Result<std::unique_ptr<BatchSender>> BatchSender::Create(Clock& clock, const Options& options) {
  std::unique_ptr<BatchSender> sender(new BatchSender(options));
  SenderTarget target;
  target.url = options.url;
  target.headers_file = options.headers_file;
  target.tls.ca_file = options.ca_file;
  ASSIGN_OR_RETURN(sender->http_, SenderHttp::Create(std::move(target)));
  Courier::Options courier;
  courier.thread = "batch-sender";
  courier.peer = ShownUrl(options.url);
  courier.timeout = options.timeout;
  courier.longest_pause = kLongestPause;
  ASSIGN_OR_RETURN(sender->courier_,
                   Courier::Start(std::move(courier), clock,
                                  [made = sender.get()](const Courier::Errand& errand) {
                                    return made->Carry(errand);
                                  }));
  return sender;
}

BatchSender::~BatchSender() = default;

void BatchSender::Send(std::string body, uint64_t items) {
  {
    MutexLock lock(mutex_);
    bytes_ += body.size();
    bodies_.push_back({std::move(body), items});
    MakeRoom();
  }
  courier_->Wake();
}

void BatchSender::MakeRoom() {
  while (bodies_.size() > options_.max_bodies ||
         (bytes_ > options_.max_bytes && bodies_.size() > 1)) {
    counters_.items_dropped += bodies_.front().items;
    bytes_ -= bodies_.front().bytes.size();
    bodies_.pop_front();
  }
}

BatchSender::Counters BatchSender::counters() const {
  const Courier::Counters tries = courier_->counters();
  MutexLock lock(mutex_);
  Counters counters = counters_;
  counters.sent = tries.sent;
  counters.failed = tries.failed;
  counters.waiting = bodies_.size() + (sending_ ? 1 : 0);
  return counters;
}

Courier::Report BatchSender::Carry(const Courier::Errand& errand) {
  Body body;
  {
    MutexLock lock(mutex_);
    if (bodies_.empty()) return {};
    body = std::move(bodies_.front());
    bodies_.pop_front();
    bytes_ -= body.bytes.size();
    sending_ = true;
  }
  SenderHttp::Message message;
  message.body = body.bytes;
  message.content_type = options_.content_type;
  SenderHttp::Answer answer = http_->Post(errand, std::move(message));
  MutexLock lock(mutex_);
  sending_ = false;
  if (answer.status.ok()) {
    counters_.items_sent += body.items;
    return {Courier::Outcome::kSent, {}};
  }
  if (RefusedForGood(answer.http)) {
    counters_.items_refused += body.items;
    return {Courier::Outcome::kRefused, std::move(answer.status)};
  }
  bytes_ += body.bytes.size();
  bodies_.push_front(std::move(body));
  MakeRoom();
  return {Courier::Outcome::kAgain, std::move(answer.status)};
}

}  // namespace leadsman
