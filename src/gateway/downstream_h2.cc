#include "gateway/downstream_h2.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/turn.h"
#include "gateway/downstream.h"
#include "gateway/h2_exchange.h"

namespace leadsman::gateway {
namespace {

using std::chrono::milliseconds;
using Got = net::StreamSocket::Got;

constexpr size_t kHighWater = 128 << 10;  // of frames that the socket has not taken
constexpr size_t kPiece = 64 << 10;
constexpr int kReadsPerTurn = 8;
/// Between the two GOAWAYs: requests that were on their way when the client read the first one arrive by then.
constexpr milliseconds kGoAwayPatience{250};

}  // namespace

DownstreamH2::DownstreamH2(Worker& worker, Downstream& client, std::string address,
                           ListenerOptions::Forwarded forwarded, bool secure)
    : worker_(worker),
      client_(client),
      address_(std::move(address)),
      forwarded_(forwarded),
      secure_(secure),
      last_stream_(worker.now()),
      sent_at_(worker.now()) {}

DownstreamH2::~DownstreamH2() = default;

net::StreamSocket& DownstreamH2::socket() { return client_.socket(); }

bool DownstreamH2::Start() {
  const ClientLimits& limits = worker_.options().limits;
  session_ = H2Session::Server(
      *this, {.max_streams = limits.max_streams, .max_header = limits.max_header});
  return session_ != nullptr;
}

bool DownstreamH2::Step() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (socket().input().empty()) {
      const Got got = socket().Fill();
      if (got == Got::kNothing) {
        OnOutput();  // the socket may take more
        return true;
      }
      if (got != Got::kBytes) return false;
    }
    const bool good = session_->Feed(socket().input());
    socket().Take(socket().input().size());
    if (!good) {
      worker_.counters().bad_requests.Add();
      Flush();  // a GOAWAY with the reason may stand there
      return false;
    }
  }
  worker_.loop().Post([self = client_.shared_from_this()] { self->OnUpstream(); });
  OnOutput();
  return true;
}

H2Stream::User* DownstreamH2::OnStream(H2Stream& stream) {
  if (ended_) return nullptr;
  auto exchange = std::make_shared<H2Exchange>(*this, stream);
  exchange->index = exchanges_.size();
  exchanges_.push_back(std::move(exchange));
  return &exchanges_.back()->down();
}

/// Its stream is closed: it may be in the middle of something.
void DownstreamH2::Remove(H2Exchange& exchange) {
  const size_t index = exchange.index;
  worker_.loop().Bury(exchanges_[index]);
  std::swap(exchanges_[index], exchanges_.back());
  exchanges_[index]->index = index;
  exchanges_.pop_back();
  last_stream_ = worker_.now();
}

void DownstreamH2::OnOutput() {
  if (ended_ || dirty_) return;
  Turn* const turn = Turn::OfThisThread();
  if (turn == nullptr) return;
  try {
    turn->AtEnd([this, self = client_.shared_from_this()] {
      dirty_ = false;
      if (ended_) return;
      try {
        Flush();
        if (over_) self->OnUpstream();
      } catch (const std::exception& e) {
        LOG_ERROR("a connection failed", {"server", "gateway"}, {"error", e.what()});
        self->Close();
      }
    });
    dirty_ = true;
  } catch (const std::exception&) {
    // No memory; nghttp2 may be above. The next event comes back to it.
  }
}

void DownstreamH2::Flush() {
  std::string& out = worker_.scratch();
  while (socket().Flush() && socket().unsent() < kHighWater) {
    out.clear();
    session_->Take(out, kPiece);
    if (out.empty()) break;
    (void)socket().Send(out);  // that it is broken is seen where it is read
  }
  if (socket().unsent() == 0 || socket().bytes_out() != sent_) sent_at_ = worker_.now();
  sent_ = socket().bytes_out();
  if (socket().unsent() > 0 || session_->wants_to_send()) return;
  // An error has been told; or it is drained and all is answered.
  over_ = session_->over() || (goaway_final_ && exchanges_.empty());
}

void DownstreamH2::BeginDrain(SteadyTime now) {
  if (std::exchange(goaway_soon_, true)) return;
  drain_began_ = now;
  session_->SayGoAway(true);
}

bool DownstreamH2::Sweep(SteadyTime now) {
  const ClientLimits& limits = worker_.options().limits;
  if (socket().broken()) return false;
  if (socket().unsent() > 0 && now - sent_at_ >= limits.idle_timeout) return false;
  if (!session_->in_head()) {
    head_since_ = {};
  } else if (head_since_ == SteadyTime{}) {
    head_since_ = now;
  } else if (now - head_since_ >= limits.head_timeout) {
    worker_.counters().bad_requests.Add();
    return false;
  }
  if (worker_.draining() || (exchanges_.empty() && now - last_stream_ >= limits.idle_timeout))
    BeginDrain(now);
  if (goaway_soon_ && !goaway_final_) {
    const milliseconds patience =
        worker_.draining() ? std::min(worker_.grace() / 2, kGoAwayPatience) : kGoAwayPatience;
    // While somebody listens still, the same clients would only come again to the same place.
    if (now - drain_began_ >= patience && (!worker_.draining() || worker_.sends_away())) {
      goaway_final_ = true;
      session_->SayGoAway(false);
    }
  }
  // Backwards: one that ends puts the last one, which has been seen, in its place.
  for (size_t i = exchanges_.size(); i-- > 0;) {
    if (i >= exchanges_.size()) continue;
    const auto exchange = exchanges_[i];
    exchange->OnSweep(now);
  }
  if (goaway_final_ && exchanges_.empty()) OnOutput();
  return true;
}

void DownstreamH2::End() {
  if (std::exchange(ended_, true)) return;
  if (session_) session_->CloseStreams();
}

}  // namespace leadsman::gateway
