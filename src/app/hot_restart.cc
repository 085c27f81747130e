#include "app/hot_restart.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>
#include <span>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/log.h"
#include "base/start_thread.h"
#include "base/strings.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Json = nlohmann::json;
using Steady = std::chrono::steady_clock;

/// For a message of somebody who has it ready.
constexpr milliseconds kWord = 5s;
/// For "accepting" after "go": a process that is alive does it some time.
constexpr milliseconds kAccepting = 5s;
constexpr milliseconds kIdle = 1s;
constexpr milliseconds kSocketsPatience = 10s;
/// For a process that has everything to accept, when this one is told to stop meanwhile; and for this one to be gone.
constexpr milliseconds kLastPatience = 10s;
/// When there are no descriptors for who connects.
constexpr milliseconds kPause = 100ms;
/// How often it is said that nobody can take over.
constexpr auto kSayAgain = 30s;
constexpr size_t kMostListeners = 1000;

std::string Written(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Word(const char* word) { return Written({{"say", word}}); }

/// A word of one of our messages, and what it says.
Result<Json> Read(const std::string& text, const char* word) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("say") || !json["say"].is_string())
    return InvalidArgumentError("the other process says what is no message of a hot restart");
  const std::string said = json["say"];
  if (said == "refused" && std::string(word) != said) {
    const bool why = json.contains("reason") && json["reason"].is_string();
    return FailedPreconditionError(why ? json["reason"].get<std::string>() : "it does not say why");
  }
  if (said != word) {
    return InvalidArgumentError(StrCat("the other process says \"", CutUtf8(said, 40),
                                       "\" where \"", word, "\" was expected"));
  }
  return json;
}

int64_t NumberOf(const Json& json, const char* key, int64_t otherwise) {
  const auto at = json.find(key);
  return at != json.end() && at->is_number_integer() ? at->get<int64_t>() : otherwise;
}

std::string TextOf(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? at->get<std::string>() : "";
}

Json NameJson(const net::ListenerName& name) {
  return {{"address", name.address}, {"port", name.port}};
}

Result<net::ListenerName> NameOf(const Json& json) {
  const int64_t port = json.is_object() ? NumberOf(json, "port", 0) : 0;
  if (port < 1 || port > 65535 || TextOf(json, "address").empty())
    return InvalidArgumentError("the other process names a listener that cannot be");
  return net::ListenerName{TextOf(json, "address"), static_cast<uint16_t>(port)};
}

Json SharesJson(const std::map<int64_t, double>& shares) {
  Json json = Json::object();
  for (const auto& [version, share] : shares) json[std::to_string(version)] = share;
  return json;
}

std::map<int64_t, double> SharesOf(const Json& json, const char* key) {
  std::map<int64_t, double> shares;
  const auto at = json.is_object() ? json.find(key) : json.end();
  if (!json.is_object() || at == json.end() || !at->is_object()) return shares;
  for (const auto& [version, share] : at->items()) {
    const auto number = ParseInt64(version);
    if (number && share.is_number()) shares[*number] = share.get<double>();
  }
  return shares;
}

std::string ReleasedText(const HandedWeights& weights) {
  Json json = {{"say", "released"}, {"weights", Json::object()}};
  for (const auto& [service, of] : weights)
    json["weights"][service] = {{"set", SharesJson(of.set)},
                                {"configured", SharesJson(of.configured)}};
  std::string text = Written(json);
  if (text.size() <= net::LocalChannel::kMaxText) return text;
  LOG_WARN("weights that people have set are too many to be handed over",
           {"services", weights.size()});
  return Word("released");
}

HandedWeights WeightsOf(const Json& json) {
  HandedWeights weights;
  const auto at = json.find("weights");
  if (at == json.end() || !at->is_object()) return weights;
  for (const auto& [service, of] : at->items())
    weights[service] = {SharesOf(of, "set"), SharesOf(of, "configured")};
  return weights;
}

std::string TextOfNames(const std::set<net::ListenerName>& names) {
  std::vector<std::string> texts;
  for (const net::ListenerName& name : names) texts.push_back(name.Text());
  return HumanList(texts);
}

Status Stopping() { return UnavailableError("this process is stopping"); }

}  // namespace

// The process that runs
// ------------------------------------------------------------------------------------------------------------------

/// How far it has come.
struct HotRestartHost::Conversation {
  std::set<net::ListenerName> handed;
  bool released = false;
  bool given = false;  ///< the other one was told so
  bool accepting = false;
  bool refused = false;  ///< it was never begun
};

Result<std::unique_ptr<HotRestartHost>> HotRestartHost::Make(Options options, Owner& owner) {
  std::unique_ptr<HotRestartHost> host(new HotRestartHost(std::move(options), owner));
  host->wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!host->wake_.valid()) return ErrnoStatus(errno, "make an event for", host->options_.path);
  return host;
}

Status HotRestartHost::StartLoop() {
  ASSIGN_OR_RETURN(thread_, StartThread("hot-restart", [this] { Loop(); }));
  return OkStatus();
}

Result<std::unique_ptr<HotRestartHost>> HotRestartHost::Start(Options options, Owner& owner) {
  ASSIGN_OR_RETURN(auto host, Make(std::move(options), owner));
  ASSIGN_OR_RETURN(host->listener_, net::LocalListener::Listen(host->options_.path));
  RETURN_IF_ERROR(host->StartLoop());
  return host;
}

Result<std::unique_ptr<HotRestartHost>> HotRestartHost::StartForLater(Options options,
                                                                      Owner& owner) {
  ASSIGN_OR_RETURN(auto host, Make(std::move(options), owner));
  RETURN_IF_ERROR(host->StartLoop());
  return host;
}

HotRestartHost::~HotRestartHost() {
  if (!thread_.joinable()) return;
  ending_ = true;
  leaving_ = true;
  Wake();
  thread_.join();
}

void HotRestartHost::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

void HotRestartHost::ListenNow() {
  may_listen_ = true;
  Wake();
}

bool HotRestartHost::EndUnlessReleased() {
  ending_ = true;
  Wake();
  const auto until = Steady::now() + kLastPatience;
  MutexLock lock(mutex_);
  while (stage_ == Stage::kBegun && Steady::now() < until) changed_.WaitFor(mutex_, kPause);
  return stage_ != Stage::kReleased;
}

void HotRestartHost::SetStage(Stage stage) {
  MutexLock lock(mutex_);
  stage_ = stage;
  changed_.NotifyAll();
}

void HotRestartHost::ListenIfAsked() {
  if (listener_ || !may_listen_) return;
  auto listener = net::LocalListener::Listen(options_.path);
  if (listener.ok()) {
    listener_ = std::move(listener).value();
    if (said_) LOG_INFO("another process can take over again", {"socket", options_.path});
    return;
  }
  const auto now = Steady::now();
  if (said_ && now - *said_ < kSayAgain) return;
  said_ = now;
  LOG_ERROR(
      "no process can take over from this one, which serves; it is tried again each second "
      "(hot_restart.socket)",
      {"reason", listener.status()});
}

/// Null: nobody, or he cannot be heard; then some time has passed, unless something else is to be done.
std::unique_ptr<net::LocalChannel> HotRestartHost::Accept(int talks_with) {
  auto other = listener_->Accept();
  if (other != nullptr) return other;
  pollfd waited[] = {{wake_.get(), POLLIN, 0}, {talks_with, POLLIN, 0}};
  poll(waited, 2, static_cast<int>(kPause.count()));
  return nullptr;
}

void HotRestartHost::Loop() {
  while (!over_ && !leaving_) {
    ListenIfAsked();
    pollfd waited[] = {{wake_.get(), POLLIN, 0}, {listener_ ? listener_->socket() : -1, POLLIN, 0}};
    const int got = poll(waited, 2, static_cast<int>(kIdle.count()));
    if (got > 0 && waited[0].revents != 0) {
      uint64_t times = 0;
      [[maybe_unused]] const ssize_t length = read(wake_.get(), &times, sizeof(times));
      continue;
    }
    if (!listener_) continue;
    owner_.OnIdle();
    if (got > 0 && waited[1].revents != 0) {
      if (const auto other = Accept(-1)) Talk(*other);
    }
  }
}

void HotRestartHost::Talk(net::LocalChannel& other) {
  Conversation so_far;
  SetStage(Stage::kBegun);
  const Status talked = HandOver(other, so_far);
  if (!so_far.accepting) owner_.listeners().SetHandedOver(so_far.handed, false);
  SetStage(Stage::kNone);
  if (so_far.accepting) {
    over_ = true;
    listener_.reset();  // the path is free before the other process is told so
    (void)other.Send(Word("bye"), {}, kWord);
    owner_.HandedOver(other.peer());
    return;
  }
  // It may be alive: what it says from now on is heard by nobody, and ends it. But one that has everything goes on alone when this
  // process ends: it is told nothing.
  if (!(ending_ && so_far.given)) {
    (void)other.Send(Written({{"say", "refused"},
                              {"protocol", kHotRestartProtocol},
                              {"reason", std::string(talked.message())}}),
                     {}, kWord);
  }
  if (so_far.refused) {
    LOG_WARN("another process was refused to take over", {"pid", other.peer()}, {"reason", talked});
    return;
  }
  LOG_WARN("another process has not taken over; this one goes on", {"pid", other.peer()},
           {"reason", talked}, {"released", so_far.released});
  owner_.TakeBack(talked, so_far.released);
}

Status HotRestartHost::HandOver(net::LocalChannel& other, Conversation& so_far) {
  so_far.refused = true;
  RETURN_IF_ERROR(other.PeerIsOurs());
  ASSIGN_OR_RETURN(const std::string hello, Await(other, "hello", kWord));
  const Json said = Json::parse(hello, nullptr, false);
  if (const int64_t protocol = NumberOf(said, "protocol", 0); protocol != kHotRestartProtocol) {
    return FailedPreconditionError(StrCat("the process that runs (pid ", getpid(), ", leadsman ",
                                          options_.program, ") hands over by protocol ",
                                          kHotRestartProtocol, ", the new one (leadsman ",
                                          CutUtf8(TextOf(said, "program"), 40), ") by protocol ",
                                          protocol, ": stop the one and start the other"));
  }
  RETURN_IF_ERROR(owner_.MayHandOver());
  so_far.refused = false;
  RETURN_IF_ERROR(other.Send(Written({{"say", "welcome"},
                                      {"protocol", kHotRestartProtocol},
                                      {"program", options_.program},
                                      {"generation", options_.generation},
                                      {"patience_ms", options_.patience.count()}}),
                             {}, kWord));
  LOG_INFO("another process takes over", {"pid", other.peer()},
           {"program", CutUtf8(TextOf(said, "program"), 40)});

  ASSIGN_OR_RETURN(const std::string asked, Await(other, "listeners", options_.patience));
  const Json wanted_json = Json::parse(asked, nullptr, false).value("wanted", Json::array());
  std::set<net::ListenerName> wanted;
  if (wanted_json.is_array()) {
    for (const Json& one : wanted_json) {
      ASSIGN_OR_RETURN(net::ListenerName name, NameOf(one));
      wanted.insert(std::move(name));
    }
  }
  RETURN_IF_ERROR(SendListeners(other, wanted, so_far.handed));
  LOG_INFO("listening sockets are handed over", {"pid", other.peer()},
           {"listeners", TextOfNames(so_far.handed)});

  RETURN_IF_ERROR(Await(other, "release", options_.patience).status());
  const auto began = Steady::now();
  {
    MutexLock lock(mutex_);
    if (ending_) return Stopping();
    stage_ = Stage::kReleased;
    changed_.NotifyAll();
  }
  so_far.released = true;
  ASSIGN_OR_RETURN(const HandedWeights weights, owner_.Release());
  RETURN_IF_ERROR(other.Send(ReleasedText(weights), {}, kWord));
  so_far.given = true;
  LOG_INFO("monitor, rollouts and alarms are handed over", {"pid", other.peer()},
           {"took_ms", std::chrono::duration_cast<milliseconds>(Steady::now() - began)});

  RETURN_IF_ERROR(Await(other, "ready", options_.patience).status());
  RETURN_IF_ERROR(other.Send(Word("go"), {}, kWord));
  const auto accepts = Await(other, "accepting", kAccepting);
  // One that was told to go and has not died accepts: two that do are better than none.
  so_far.accepting = accepts.ok() || accepts.status().code() == StatusCode::kDeadlineExceeded;
  return accepts.status();
}

Status HotRestartHost::SendListeners(net::LocalChannel& other,
                                     const std::set<net::ListenerName>& wanted,
                                     std::set<net::ListenerName>& handed) {
  constexpr size_t kAtOnce = net::LocalChannel::kMaxSockets;
  for (const net::ListenerName& name : wanted) {
    ASSIGN_OR_RETURN(const std::vector<int> copies, owner_.listeners().Copy(name));
    Status sent;
    for (size_t i = 0; i < copies.size() && sent.ok(); i += kAtOnce) {
      Json json = NameJson(name);
      json["say"] = "listener";
      sent = other.Send(Written(json),
                        std::span(copies).subspan(i, std::min(kAtOnce, copies.size() - i)), kWord);
    }
    for (const int copy : copies) close(copy);
    RETURN_IF_ERROR(sent);
    if (!copies.empty()) handed.insert(name);
  }
  // From here on a drain must not shut what the other process accepts at.
  owner_.listeners().SetHandedOver(handed, true);
  return other.Send(Word("sent"), {}, kWord);
}

Result<std::string> HotRestartHost::Await(net::LocalChannel& other, const char* word,
                                          milliseconds wait) {
  auto until = Steady::now() + wait;
  bool hurries = false;
  for (;;) {
    bool stopping = ending_;
    if (stopping) {
      MutexLock lock(mutex_);
      // Who has everything is to go on with it, for nobody else will.
      stopping = stage_ != Stage::kReleased;
    }
    if (leaving_ && Steady::now() + kLastPatience < until) {
      hurries = true;
      until = Steady::now() + kLastPatience;
    }
    const auto left = stopping ? milliseconds(0)
                               : std::max(std::chrono::ceil<milliseconds>(until - Steady::now()),
                                          milliseconds(0));
    pollfd waited[] = {
        {other.socket(), POLLIN, 0}, {listener_->socket(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    const int got = poll(waited, 3, static_cast<int>(left.count()));
    if (got < 0 && errno == EINTR) continue;
    // Before who else is there, and before the end of this process: the one that comes after a process that has died is no second one.
    if (got > 0 && waited[0].revents != 0) {
      ASSIGN_OR_RETURN(const net::LocalMessage message, other.Receive(0ms));
      RETURN_IF_ERROR(Read(message.text, word).status());
      return message.text;
    }
    if (stopping) return Stopping();
    if (got > 0 && waited[2].revents != 0) {
      uint64_t times = 0;
      [[maybe_unused]] const ssize_t length = read(wake_.get(), &times, sizeof(times));
      continue;
    }
    if (got > 0 && waited[1].revents != 0) {
      if (const auto third = Accept(other.socket())) {
        const std::string reason =
            StrCat("another process (pid ", other.peer(), ") is taking over from pid ", getpid(),
                   " at the moment; try again when it has");
        LOG_WARN("another process was refused to take over", {"pid", third->peer()},
                 {"reason", reason});
        (void)third->Send(
            Written({{"say", "refused"}, {"protocol", kHotRestartProtocol}, {"reason", reason}}),
            {}, 0ms);
      }
    }
    if (left.count() == 0) {
      if (hurries) return Stopping();
      return DeadlineExceededError(
          StrCat("it has not said \"", word, "\" within ", wait.count(), " ms",
                 wait == options_.patience ? " (hot_restart.timeout)" : ""));
    }
  }
}

// The process that takes over
// ------------------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<HotRestartGuest>> HotRestartGuest::Connect(const std::string& path,
                                                                  const std::string& program) {
  auto channel = net::LocalChannel::Connect(path, kWord);
  if (!channel.ok() && channel.status().code() == StatusCode::kNotFound)
    return std::unique_ptr<HotRestartGuest>();
  if (!channel.ok()) return channel.status();
  std::unique_ptr<HotRestartGuest> guest(new HotRestartGuest(std::move(channel).value()));
  ASSIGN_OR_RETURN(
      const std::string answer,
      guest->Ask(
          Written({{"say", "hello"}, {"protocol", kHotRestartProtocol}, {"program", program}}),
          kWord));
  ASSIGN_OR_RETURN(const Json welcome, Read(answer, "welcome"));
  if (const int64_t protocol = NumberOf(welcome, "protocol", 0); protocol != kHotRestartProtocol) {
    return FailedPreconditionError(
        StrCat("the process that runs (pid ", guest->other(), ", leadsman ",
               CutUtf8(TextOf(welcome, "program"), 40), ") hands over by protocol ", protocol,
               ", this one (leadsman ", program, ") takes over by protocol ", kHotRestartProtocol,
               ": stop the one and start the other"));
  }
  guest->patience_ =
      milliseconds(std::clamp<int64_t>(NumberOf(welcome, "patience_ms", 60'000), 0, 3'600'000));
  guest->generation_ = static_cast<int>(std::clamp<int64_t>(NumberOf(welcome, "generation", 0), 0,
                                                            std::numeric_limits<int>::max() - 1));
  LOG_INFO("taking over from the process that runs", {"pid", guest->other()},
           {"program", CutUtf8(TextOf(welcome, "program"), 40)},
           {"generation", guest->generation_});
  return guest;
}

Result<std::string> HotRestartGuest::Ask(const std::string& text, milliseconds wait) {
  const Status said = channel_->Send(text, {}, kWord);
  // One that has refused has closed its side, and its words are still there.
  if (!said.ok() && said.code() != StatusCode::kUnavailable) return said;
  ASSIGN_OR_RETURN(net::LocalMessage answer, channel_->Receive(wait));
  return std::move(answer.text);
}

bool HotRestartGuest::OtherHasDied(const Status& why) const {
  return why.code() == StatusCode::kUnavailable &&
         channel_->PeerHasEnded(has_everything_ ? kLastPatience : 1s);
}

Status HotRestartGuest::TakeListeners(const std::vector<net::ListenerName>& wanted,
                                      net::ListenerStore& into) {
  Json names = Json::array();
  for (const net::ListenerName& name : wanted) names.push_back(NameJson(name));
  Status asked = channel_->Send(Written({{"say", "listeners"}, {"wanted", names}}), {}, kWord);
  if (!asked.ok() && asked.code() != StatusCode::kUnavailable) return asked;
  std::map<net::ListenerName, std::vector<int>> got;
  Status wrong;
  for (bool more = true; more && wrong.ok();) {
    auto message = channel_->Receive(kSocketsPatience);
    if (!message.ok()) {
      wrong = message.status();
      break;
    }
    const Json json = Json::parse(message->text, nullptr, false);
    more = json.is_object() && TextOf(json, "say") == "listener";
    if (!more) {
      wrong = Read(message->text, "sent").status();
      break;
    }
    auto name = NameOf(json);
    if (!name.ok() || (got.size() >= kMostListeners && !got.contains(*name))) {
      wrong = name.ok() ? InvalidArgumentError("the other process sends too many listeners")
                        : name.status();
      break;
    }
    for (UniqueFd& socket : message->sockets) got[*name].push_back(socket.Release());
  }
  std::set<net::ListenerName> taken;
  for (auto& [name, sockets] : got) {
    if (!wrong.ok()) {
      for (const int socket : sockets) close(socket);
      continue;
    }
    taken.insert(name);
    wrong = into.Adopt({name, std::move(sockets)});
  }
  RETURN_IF_ERROR(wrong);
  std::set<net::ListenerName> fresh(wanted.begin(), wanted.end());
  for (const net::ListenerName& name : taken) fresh.erase(name);
  LOG_INFO("listening sockets are taken over", {"listeners", TextOfNames(taken)},
           {"listened_at_anew", TextOfNames(fresh)});
  return OkStatus();
}

Result<HandedWeights> HotRestartGuest::Release(milliseconds wait) {
  const auto answer = Ask(Word("release"), wait);
  if (answer.ok()) {
    ASSIGN_OR_RETURN(const Json released, Read(*answer, "released"));
    has_everything_ = true;
    return WeightsOf(released);
  }
  if (!OtherHasDied(answer.status())) return answer.status();
  LOG_WARN("the process that was to hand over has died; this one goes on alone", {"pid", other()});
  return HandedWeights();
}

Status HotRestartGuest::Ready() {
  const auto answer = Ask(Word("ready"), kWord);
  if (answer.ok()) return Read(*answer, "go").status();
  if (!OtherHasDied(answer.status())) return answer.status();
  LOG_WARN("the process that was to hand over has died; this one goes on alone", {"pid", other()});
  return OkStatus();
}

void HotRestartGuest::Accepting() {
  // What matters is that the path is free by then; a process that has died has left it.
  (void)Ask(Word("accepting"), kWord);
}

}  // namespace leadsman
