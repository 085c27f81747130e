#include "app/model_repository.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <utility>

#include "app/config_schema.h"
#include "base/detached_call.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "lifecycle/config_schema.h"

namespace leadsman {
namespace {

constexpr size_t kMostModels = 10'000;  // as many as `models` may list
constexpr size_t kMostWaiting = 256;
constexpr size_t kMostTold = 1'000;
constexpr size_t kNamesInNote = 3;

Status Stopped() { return UnavailableError("the server is shutting down"); }

Config::Model ModelIn(const std::string& name, const std::string& path) {
  Config::Model model = ConfigModelSchema().initial();
  model.model.name = name;
  model.model.path = path;
  model.from_repository = true;
  return model;
}

std::string HowItShouldLook(const std::string& folder) {
  return StrCat("each sub-folder is a model, with a folder for each of its versions: ", folder,
                "/NAME/1/model.onnx");
}

Result<RepositoryListing> ListRepositoryWithin(const std::string& folder,
                                               std::chrono::milliseconds patience) {
  using Listing = Result<RepositoryListing>;
  ASSIGN_OR_RETURN(auto look, DetachedCall<Listing>::Start(
                                  "repository-look", [folder] { return ListRepository(folder); }));
  if (std::optional<Listing> listing = look->WaitFor(patience)) return *std::move(listing);
  return UnavailableError(StrCat(folder, " has not answered for ",
                                 std::chrono::duration_cast<std::chrono::seconds>(patience).count(),
                                 " s; is its mount, or the store behind it, there?"));
}

}  // namespace

Result<RepositoryListing> ListRepository(const std::string& folder) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(folder));
  RepositoryListing listing;
  for (const std::string& name : names) {
    // The latter is on every volume of its own with ext4.
    if (name.starts_with('.') || name == "lost+found") continue;
    std::string path = JoinPath(folder, name);
    if (!IsDirectory(path)) continue;
    if (ParseInt64(name)) {
      listing.versions.push_back(name);
      listing.ignored[name] = "it is named like a version; a model's folder has its name";
    } else if (std::string wrong = CheckModelName(name); !wrong.empty()) {
      listing.ignored[name] = StrCat("a model's name ", wrong);
    } else if (listing.models.size() >= kMostModels) {
      listing.ignored[name] = StrCat("there are more than ", kMostModels, " models");
    } else {
      listing.models.emplace(name, std::move(path));
    }
  }
  return listing;
}

Status AddRepositoryModels(Config& config, std::chrono::milliseconds patience) {
  const std::string& folder = config.repository.path;
  if (folder.empty()) return OkStatus();
  Result<RepositoryListing> listing = ListRepositoryWithin(folder, patience);
  if (!listing.ok() && listing.status().code() == StatusCode::kUnavailable)
    return Annotate(listing.status(), "repository.path (--model-repository)");
  if (!listing.ok()) {
    const bool file =
        std::filesystem::exists(std::filesystem::path(folder)) && !IsDirectory(folder);
    return InvalidArgumentError(
        StrCat("repository.path (--model-repository): ",
               file ? StrCat(folder, " is a file, not a folder; ", HowItShouldLook("DIR"))
                    : std::string(listing.status().message())));
  }
  if (!listing->versions.empty()) {
    return InvalidArgumentError(StrCat("repository.path (--model-repository): ", folder,
                                       " looks like one model's folder (it has a version ",
                                       listing->versions[0],
                                       "); give its parent, or --model NAME=", folder));
  }
  if (listing->models.empty() && config.repository.mode == ModelControl::Mode::kPoll) {
    std::string why;
    if (!listing->ignored.empty()) {
      const auto& [name, reason] = *listing->ignored.begin();
      why = StrCat(" (\"", name, "\" is none: ", reason, ")");
    }
    return InvalidArgumentError(StrCat("repository.path (--model-repository): ", folder,
                                       " has no models", why, "; ", HowItShouldLook(folder)));
  }
  std::set<std::string> configured;
  for (Config::Model& model : config.models) {
    configured.insert(model.model.name);
    const auto there = listing->models.find(model.model.name);
    if (there != listing->models.end() && model.model.path.empty())
      model.model.path = there->second;
  }
  for (const auto& [name, path] : listing->models) {
    if (!configured.contains(name)) config.models.push_back(ModelIn(name, path));
  }
  for (const Config::Model& model : config.models) {
    if (!model.rollout || !model.model.path.empty() || config.gateway) continue;
    return InvalidArgumentError(StrCat("model ", model.model.name,
                                       ": has a rollout and no path, and there is no folder of its "
                                       "name in repository.path (",
                                       folder, ")"));
  }
  std::vector<std::string> wrong = ConfigConflicts(config);
  return wrong.empty() ? OkStatus() : InvalidArgumentError(Join(wrong, "\n"));
}

RepositoryChange TakeRepository(const RepositoryListing& found,
                                const std::function<bool(const std::string&)>& keep,
                                Config& running) {
  RepositoryChange change;
  if (running.models_of_client) return change;
  std::set<std::string> known;
  for (const Config::Model& model : running.models) known.insert(model.model.name);
  for (const auto& [name, path] : found.models) {
    if (known.contains(name)) continue;
    Config::Model model = ModelIn(name, path);
    auto observed = running.monitor.observed.find(name);
    if (observed != running.monitor.observed.end()) model.monitoring = observed->second;
    running.models.push_back(std::move(model));
    change.added.push_back(name);
  }
  std::erase_if(running.models, [&](const Config::Model& model) {
    const std::string& name = model.model.name;
    if (!model.from_repository || found.models.contains(name) || keep(name)) return false;
    change.removed.push_back(name);
    return true;
  });
  return change;
}

RepositoryWatch::RepositoryWatch(std::string folder, std::chrono::milliseconds interval,
                                 Apply apply)
    : folder_(std::move(folder)), interval_(interval), apply_(std::move(apply)) {}

RepositoryWatch::~RepositoryWatch() {
  (void)StopWithin(std::chrono::milliseconds(0));
  if (thread_.joinable()) thread_.join();
}

Status RepositoryWatch::Start() {
  MutexLock lock(mutex_);
  ended_ = false;
  Result<std::thread> started = StartThread("repository", [this] { Run(); });
  if (!started.ok()) {
    ended_ = true;
    return started.status();
  }
  thread_ = std::move(started).value();
  return OkStatus();
}

void RepositoryWatch::LookNow(Done done) {
  Status refused = OkStatus();
  {
    MutexLock lock(mutex_);
    if (stopped_) {
      refused = Stopped();
    } else if (waiting_.size() >= kMostWaiting) {
      refused = ResourceExhaustedError(StrCat(
          kMostWaiting, " requests wait for a look at the repository already; try again later"));
    } else {
      waiting_.push_back(std::move(done));
      changed_.NotifyAll();
      return;
    }
  }
  done(refused);
}

std::string RepositoryWatch::Note() const {
  MutexLock lock(mutex_);
  return note_;
}

bool RepositoryWatch::StopWithin(std::chrono::milliseconds wait) {
  const auto until = std::chrono::steady_clock::now() + wait;
  std::vector<Done> left;
  bool ended = false;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
    while (!ended_ && std::chrono::steady_clock::now() < until)
      (void)changed_.WaitFor(mutex_, until - std::chrono::steady_clock::now());
    ended = ended_;
    left.swap(waiting_);
  }
  for (const Done& done : left) done(Stopped());
  return ended;
}

bool RepositoryWatch::stopped() const {
  MutexLock lock(mutex_);
  return stopped_;
}

/// A number for the models there; nothing when that is not known.
std::optional<uint64_t> RepositoryWatch::Look() {
  Result<RepositoryListing> listing = ListRepository(folder_);
  std::string note;
  found_.reset();
  looked_ = OkStatus();
  if (!listing.ok()) {
    note = StrCat("the repository ", folder_,
                  " cannot be listed, its models stay as they are: ", listing.status().message());
    looked_ = UnavailableError(note);
  } else if (listing->models.empty()) {
    note = StrCat("the repository ", folder_,
                  " has no models any more; those of before stay, as if its mount had gone");
  } else {
    found_ = std::move(listing).value();
    size_t named = 0;
    for (const auto& [name, why] : found_->ignored) {
      if (named++ < kNamesInNote)
        note += StrCat(note.empty() ? "" : "; ", "in the repository \"", name,
                       "\" is passed over: ", why);
    }
    if (named > kNamesInNote) note += StrCat("; and ", named - kNamesInNote, " more");
  }
  bool news = false;
  {
    MutexLock lock(mutex_);
    news = note != note_;
    note_ = note;
  }
  if (news && !found_) LOG_WARN("a repository is not followed", {"why", note});
  if (!found_) return std::nullopt;
  for (const auto& [name, why] : found_->ignored) {
    if (told_.size() >= kMostTold || !told_.insert(name).second) continue;
    LOG_WARN("a folder of the repository is no model", {"name", name}, {"why", why});
  }
  std::string names;
  for (const auto& [name, path] : found_->models) names += name + '/';
  return std::hash<std::string>()(names);
}

void RepositoryWatch::Run() {
  // What stands there at first is put in force, too: some of it may have come since the configuration was read.
  ConfigWatcher watcher([this] { return Look(); });
  bool due = found_.has_value();
  while (true) {
    std::vector<Done> asked;
    {
      MutexLock lock(mutex_);
      if (!stopped_ && !due && waiting_.empty()) (void)changed_.WaitFor(mutex_, interval_);
      if (stopped_) {
        ended_ = true;
        changed_.NotifyAll();
        return;
      }
      asked.swap(waiting_);
    }
    if (!due) due = watcher.Poll();
    Status status = looked_;
    if ((due || !asked.empty()) && found_ && !stopped()) status = apply_(*found_);
    if (due && !status.ok()) watcher.TryAgain();
    due = false;
    for (const Done& done : asked) done(status);
  }
}

}  // namespace leadsman
