#include "telemetry/profile_sender.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "monitor/edges/profile_message.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestPause{30'000};
constexpr const char* kPath = "/api/v1/profiles";

}  // namespace

ProfileSender::ProfileSender(Deps deps, ProfileSenderOptions options)
    : clock_(deps.clock),
      take_(std::move(deps.take)),
      options_(std::move(options)),
      edge_(options_.edge.empty() ? deps.edge : options_.edge),
      process_(deps.process),
      answered_at_(clock_.SteadyNow().time_since_epoch().count()) {}

Result<std::unique_ptr<ProfileSender>> ProfileSender::Create(Deps deps,
                                                             ProfileSenderOptions options) {
  Registry& registry = deps.registry;
  std::unique_ptr<ProfileSender> made(new ProfileSender(std::move(deps), std::move(options)));
  const ProfileSenderOptions& of = made->options_;
  ASSIGN_OR_RETURN(made->http_, SenderHttp::Create(of.target));
  Courier::Options courier;
  courier.thread = "profile-sender";
  courier.peer = ShownUrl(of.target.url);
  courier.timeout = of.target.timeout;
  // As soon as it is back it should know how things are.
  courier.longest_pause = std::min<milliseconds>(4 * of.every, kLongestPause);
  ASSIGN_OR_RETURN(made->courier_, Courier::Start(std::move(courier), made->clock_,
                                                  [sender = made.get()](const Courier::Errand& e) {
                                                    return sender->Carry(e);
                                                  }));
  made->AddMetrics(registry);
  made->courier_->Wake();
  return made;
}

ProfileSender::~ProfileSender() { registrations_.clear(); }

std::string ProfileSender::Note() const {
  MutexLock lock(mutex_);
  if (last_.ok()) return "";
  const auto since = clock_.SteadyNow() - SteadyTime(SteadyTime::duration(answered_at_));
  return StrCat("profiles are sent to ", ShownUrl(options_.target.url),
                ", which has not taken one for ", static_cast<int64_t>(ToSeconds(since)),
                " s: ", last_.message(),
                "; what was seen meanwhile waits, and nothing of it is lost");
}

/// Also when nothing was seen: the monitor is to know that the edge lives.
void ProfileSender::Seal(bool last) {
  if (waiting_.empty()) waiting_ = take_();
  const ProfileHeader header{edge_, process_, ++sequence_, options_.every, false};
  size_t taken = 0;
  message_ = WriteProfileMessage(header, waiting_, taken);
  if (last && taken == waiting_.size()) {
    ProfileHeader end = header;
    end.last = said_last_ = true;
    message_ = WriteProfileMessage(end, waiting_, taken);
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(taken));
  refusals_ = 0;
}

Courier::Report ProfileSender::Carry(const Courier::Errand& errand) {
  using Outcome = Courier::Outcome;
  if (message_.empty()) {
    if (said_last_) return {};
    Seal(errand.last);
  }
  SenderHttp::Message message;
  message.path = kPath;
  message.body = message_;
  message.content_type = "application/octet-stream";
  SenderHttp::Answer answer = http_->Post(errand, std::move(message));
  {
    MutexLock lock(mutex_);
    last_ = answer.status;
  }
  if (!answer.status.ok()) {
    if (!answer.IsRefusal() || ++refusals_ < kRefusals)
      return {.outcome = Outcome::kAgain, .why = std::move(answer.status)};
    ++given_up_;  // its number is passed over, which the monitor counts
    message_.clear();
    return {.outcome = Outcome::kRefused, .why = std::move(answer.status)};
  }
  answered_at_ = clock_.SteadyNow().time_since_epoch().count();
  message_.clear();
  return {.outcome = Outcome::kSent,
          .again_in = waiting_.empty() ? Duration(options_.every) : Duration(0)};
}

void ProfileSender::AddMetrics(Registry& registry) {
  registrations_.push_back(registry.Add(
      {.name = "leadsman_edge_messages_total",
       .help = "Messages of profiles to the monitor: sent; failed tries, which are repeated; given "
               "up, as the monitor said they were wrong.",
       .type = MetricType::kCounter,
       .labels = {"result"}},
      [this] {
        const Courier::Counters c = courier_->counters();
        auto sample = [](const char* label, uint64_t value) {
          MetricSample s;
          s.label_values = {label};
          s.value = static_cast<double>(value);
          return s;
        };
        return std::vector<MetricSample>{sample("sent", c.sent), sample("failed", c.failed),
                                         sample("given_up", given_up_)};
      }));
  registrations_.push_back(registry.Add(
      {.name = "leadsman_edge_unanswered_seconds",
       .help = "Time since the monitor took a message of profiles, or since the start.",
       .type = MetricType::kGauge,
       .labels = {}},
      [this] {
        MetricSample s;
        s.value = ToSeconds(clock_.SteadyNow() - SteadyTime(SteadyTime::duration(answered_at_)));
        return std::vector<MetricSample>{s};
      }));
}

}  // namespace leadsman
