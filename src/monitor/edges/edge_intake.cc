#include "monitor/edges/edge_intake.h"

#include <utility>

#include "base/strings.h"
#include "monitor/edges/profile_message.h"

namespace leadsman {
namespace {

MetricSample Sample(std::vector<std::string> labels, uint64_t value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = static_cast<double>(value);
  return sample;
}

}  // namespace

EdgeIntake::EdgeIntake(Clock& clock, EdgeOptions options, Registry& registry)
    : clock_(clock), book_(options) {
  AddMetrics(registry);
}

Result<ProfileReceipt> EdgeIntake::Add(std::string_view bytes) {
  ProfileReceipt receipt;
  auto header = ReadProfileMessage(bytes, [&](IntervalProfile&& profile) {
    ++receipt.profiles;
    receipt.requests += profile.requests.total();
  });
  MutexLock lock(mutex_);
  bytes_ += bytes.size();
  if (!header.ok()) {
    ++malformed_;
    return header.status();
  }
  // Before the book knows of it: it will come again.
  if (waiting_bytes_ + bytes.size() > kMaxWaitingBytes && !waiting_.empty())
    return UnavailableError("the monitor has no room at the moment; send the message again");
  const WallTime wall = clock_.Now();
  ASSIGN_OR_RETURN(const EdgeBook::Hearing hearing,
                   book_.Hear(*header, receipt.requests, wall, clock_.SteadyNow()));
  receipt.duplicate = !hearing.fresh;
  receipt.lost = hearing.lost;
  if (!hearing.fresh) return receipt;
  waiting_bytes_ += bytes.size();
  waiting_.push_back(
      {std::string(bytes),
       {header->edge, header->process, header->sequence, UnixMillis(wall), header->last}});
  return receipt;
}

std::deque<EdgeIntake::Message> EdgeIntake::TakeAll() {
  std::deque<Message> all;
  MutexLock lock(mutex_);
  all.swap(waiting_);
  waiting_bytes_ = 0;
  return all;
}

void EdgeIntake::Restore(const std::vector<EdgeMark>& marks) {
  MutexLock lock(mutex_);
  for (const EdgeMark& mark : marks) book_.Restore(mark, clock_.Now(), clock_.SteadyNow());
}

std::vector<EdgeView> EdgeIntake::Views() const {
  MutexLock lock(mutex_);
  return book_.Views(clock_.SteadyNow());
}

EdgeBook::Counters EdgeIntake::counters() const {
  MutexLock lock(mutex_);
  return book_.counters();
}

void EdgeIntake::AddMetrics(Registry& registry) {
  registrations_.push_back(registry.Add(
      {.name = "leadsman_monitor_edge_messages_total",
       .help = "Messages of profiles from edges: taken, duplicate (had been taken before), lost "
               "(their numbers were passed over), malformed, refused (too many edges).",
       .type = MetricType::kCounter,
       .labels = {"result"}},
      [this] {
        MutexLock lock(mutex_);
        const EdgeBook::Counters& c = book_.counters();
        return std::vector<MetricSample>{
            Sample({"taken"}, c.intervals), Sample({"duplicate"}, c.duplicates),
            Sample({"lost"}, c.lost), Sample({"malformed"}, malformed_),
            Sample({"refused"}, c.refused)};
      }));
  auto single = [&](const char* name, const char* help, auto read) {
    registrations_.push_back(registry.Add(
        {.name = name, .help = help, .type = MetricType::kCounter, .labels = {}}, [this, read] {
          MutexLock lock(mutex_);
          return std::vector<MetricSample>{Sample({}, read(*this))};
        }));
  };
  single("leadsman_monitor_edge_requests_total", "Requests that edges have told of.",
         [](const EdgeIntake& of)
             NO_THREAD_SAFETY_ANALYSIS { return of.book_.counters().requests; });
  single("leadsman_monitor_edge_bytes_total", "Bytes of messages of profiles from edges.",
         [](const EdgeIntake& of) NO_THREAD_SAFETY_ANALYSIS { return of.bytes_; });
  registrations_.push_back(registry.Add(
      {.name = "leadsman_monitor_edges",
       .help = "Edges that have sent profiles: live, quiet (overdue), stopped (they said so).",
       .type = MetricType::kGauge,
       .labels = {"state"}},
      [this] {
        uint64_t live = 0, quiet = 0, stopped = 0;
        for (const EdgeView& edge : Views()) {
          live += edge.state == EdgeView::State::kLive ? 1 : 0;
          quiet += edge.state == EdgeView::State::kQuiet ? 1 : 0;
          stopped += edge.state == EdgeView::State::kStopped ? 1 : 0;
        }
        return std::vector<MetricSample>{Sample({"live"}, live), Sample({"quiet"}, quiet),
                                         Sample({"stopped"}, stopped)};
      }));
}

}  // namespace leadsman
