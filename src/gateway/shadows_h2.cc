#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "events/http_outcome.h"
#include "gateway/grpc_words.h"
#include "gateway/shadows.h"
#include "gateway/worker.h"
#include "net/http_status.h"

namespace leadsman::gateway {
namespace {

/// Of a request's body that a stream holds besides.
constexpr size_t kPiece = 64 << 10;

}  // namespace

/// One copy over HTTP/2: a stream of its own.
///
///   waiting (for a connection that is being made) → sent → over
///
/// Confined to its worker's thread. Its owner keeps it until it is over, and the loop until the end of that turn: the session
/// may be in the middle of telling it something.
class Shadows::CopyH2 final : public UpstreamH2::Waiter,
                              public H2Stream::User,
                              public std::enable_shared_from_this<Shadows::CopyH2> {
 public:
  CopyH2(Shadows& owner, std::unique_ptr<Shadow> shadow, Endpoint& endpoint)
      : owner_(owner),
        worker_(owner.worker_),
        endpoint_(endpoint),
        shadow_(std::move(shadow)),
        since_(worker_.now()) {}
  ~CopyH2() { LetGo(false); }

  size_t index = 0;  ///< the owner's: where among its copies

  void Begin() {
    Guard(*this, [&] { Open(); });
  }
  void OnSweep(SteadyTime now) {
    if (shadow_ && now - since_ >= shadow_->mirror.options.timeout) Fail(Unanswered::kTimeout);
  }
  void Fail(Unanswered reason, bool at_fault = true) {
    if (!shadow_) return;
    const auto self = shared_from_this();
    auto shadow = std::move(shadow_);
    LetGo(true);
    owner_.Forget(*this);
    owner_.Failed(std::move(shadow), sent_, reason, since_, at_fault);
  }

  // As one that waits for a connection.
  void OnConnected() override {
    waits_ = false;
    Guard(*this, [&] { Open(); });
  }
  void OnNotConnected(Reason /*reason*/, const std::string& /*why*/, bool at_fault) override {
    waits_ = false;
    Fail(Unanswered::kClosed, at_fault);
  }

  // As the stream's user. What is thrown from here resets it.
  void OnHead(H2Stream&, H2Fields fields, bool end) override {
    const int status = static_cast<int>(ParseInt64(ValueOf(fields, ":status")).value_or(0));
    if (status < 200) return;  // interim
    status_ = status;
    grpc_ = IsGrpc(ValueOf(fields, "content-type"));
    TakeGrpcStatus(fields);
    const int64_t length =
        std::max<int64_t>(ParseInt64(ValueOf(fields, "content-length")).value_or(0), 0);
    if (worker_.shared().exchanges != nullptr && status < 400) {
      compared_ = true;
      const bool framed = grpc_ && shadow_->call != GrpcMethod::kNone;
      copy().Begin(copy().response, ValueOf(fields, "content-type"),
                   ValueOf(fields, framed ? "grpc-encoding" : "content-encoding"),
                   ValueOf(fields, "inference-header-content-length"),
                   static_cast<uint64_t>(length), framed ? shadow_->call : GrpcMethod::kNone);
    }
    if (end || static_cast<uint64_t>(length) > shadow_->mirror.options.max_body) Answered(end);
  }
  void OnHeadTooLarge(H2Stream&) override { Fail(Unanswered::kBadAnswer); }
  void OnData(H2Stream& stream, std::string_view bytes) override {
    stream.Consumed(bytes.size());
    if (!shadow_) return;
    answer_bytes_ += bytes.size();
    if (compared_) copy().Append(copy().response, bytes);
    if (answer_bytes_ > shadow_->mirror.options.max_body) Answered(false);
  }
  void OnTrailers(H2Stream&, H2Fields fields) override { TakeGrpcStatus(fields); }
  void OnEnd(H2Stream&) override { Answered(true); }
  void OnTaken(H2Stream&, size_t bytes) override {
    taken_ += bytes;
    if (shadow_) SendMore();
  }
  void OnClosed(H2Stream&, H2Error /*code*/) override {
    stream_ = nullptr;
    Fail(Unanswered::kClosed);
  }

 private:
  const std::string& body() const { return shadow_->pair->live.request.body; }
  ExchangeCopy& copy() { return shadow_->pair->shadow; }

  void Open() {
    const auto self = shared_from_this();
    for (;;) {
      connection_ = owner_.upstreams_h2_.Get(shadow_->version, endpoint_);
      if (connection_->connecting()) {
        waits_ = true;
        return connection_->Wait(*this);  // which may come back at once
      }
      stream_ = connection_->Open(*this, shadow_->fields.View(), body().empty());
      if (stream_ != nullptr) break;
      connection_->Retire();
    }
    sent_ = true;
    worker_.CountersOf(shadow_->mirror).sent.Add();
    body_size_ = body().size();
    SendMore();
  }

  /// As far as the stream takes it: what it holds besides is never more than a piece.
  void SendMore() {
    if (stream_ != nullptr && given_ < body_size_ && stream_->unsent() == 0) {
      const std::string_view piece = std::string_view(body()).substr(given_, kPiece);
      given_ += piece.size();
      stream_->Send(piece);
      if (given_ == body_size_) stream_->SendEnd();
    }
    if (taken_ == body_size_) shadow_->ForgetRequest();
  }

  void TakeGrpcStatus(H2Fields fields) {
    const std::string_view text = ValueOf(fields, "grpc-status");
    if (grpc_ && !text.empty()) grpc_status_ = ParseGrpcStatus(text);
  }

  /// `ended`: to its end; else it is longer than what is kept of it.
  void Answered(bool ended) {
    if (!shadow_) return;
    const auto self = shared_from_this();
    auto shadow = std::move(shadow_);
    const bool call = grpc_ && status_ < 300;
    // Of a call that is cut off its status has not come.
    const StatusCode outcome =
        call ? grpc_status_.value_or(ended ? StatusCode::kUnknown : StatusCode::kOk)
             : OutcomeOfHttp(status_);
    // What has ended on both sides is closed without a word.
    LetGo(!ended || !stream_->ended_here() || stream_->unsent() > 0);
    owner_.Forget(*this);
    owner_.Answered(std::move(shadow), call ? net::HttpStatusOf(outcome) : status_, outcome,
                    since_);
  }

  void LetGo(bool cancel) {
    if (std::exchange(waits_, false)) connection_->StopWaiting(*this);
    if (stream_ != nullptr) {
      H2Stream* const stream = std::exchange(stream_, nullptr);
      stream->Forget();
      if (cancel) stream->Reset(H2Error::kCancel);
      if (cancel) connection_->GivenUp(worker_.now());
    }
    connection_.reset();
  }

  Shadows& owner_;
  Worker& worker_;
  Endpoint& endpoint_;
  std::unique_ptr<Shadow> shadow_;  ///< null: it is over
  const SteadyTime since_;
  std::shared_ptr<UpstreamH2> connection_;
  bool waits_ = false;  ///< for it
  H2Stream* stream_ = nullptr;
  bool sent_ = false;
  size_t body_size_ = 0, given_ = 0, taken_ = 0;  ///< of the request's body
  int status_ = 0;
  bool grpc_ = false;
  std::optional<StatusCode> grpc_status_;
  bool compared_ = false;  ///< its answer is kept
  uint64_t answer_bytes_ = 0;
};

void Shadows::StartH2(std::unique_ptr<Shadow> shadow, Endpoint& endpoint) {
  const auto copy = std::make_shared<CopyH2>(*this, std::move(shadow), endpoint);
  copy->index = copies_h2_.size();
  copies_h2_.push_back(copy);
  copy->Begin();
}

void Shadows::Forget(CopyH2& copy) {
  const size_t index = copy.index;
  std::swap(copies_h2_[index], copies_h2_.back());
  copies_h2_[index]->index = index;
  auto gone = std::move(copies_h2_.back());
  copies_h2_.pop_back();
  worker_.loop().Bury(std::move(gone));
}

void Shadows::SweepH2(SteadyTime now) {
  // Backwards: one that ends puts the last one, which has been seen, in its place.
  for (size_t i = copies_h2_.size(); i-- > 0;) {
    if (i >= copies_h2_.size()) continue;
    const auto copy = copies_h2_[i];
    copy->OnSweep(now);
  }
  upstreams_h2_.Sweep(now);
}

void Shadows::DrainH2() {
  while (!copies_h2_.empty()) {
    const auto copy = copies_h2_.back();
    copy->Fail(Unanswered::kDraining);
  }
  upstreams_h2_.CloseAll();
}

}  // namespace leadsman::gateway
