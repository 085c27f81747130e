#include "stats/registry.h"

#include <algorithm>
#include <map>

#include "base/check.h"

namespace leadsman {

struct Registry::Entry {
  uint64_t id = 0;
  std::shared_ptr<const MetricDescription> description;
  Reader reader;
  int readers_inside = 0;  ///< calls of `reader` in progress; guarded by the registry's mutex
};

Registry::Registration& Registry::Registration::operator=(Registration&& other) noexcept {
  if (this != &other) {
    if (registry_ != nullptr) registry_->Remove(id_);
    registry_ = std::exchange(other.registry_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

Registry::Registration::~Registration() {
  if (registry_ != nullptr) registry_->Remove(id_);
}

Registry::Registry() = default;
Registry::~Registry() = default;

Registry::Registration Registry::Add(MetricDescription description, Reader reader) {
  CHECK(IsValidMetricName(description.name));
  for (const std::string& label : description.labels) CHECK(IsValidLabelName(label));
  auto entry = std::make_shared<Entry>();
  entry->description = std::make_shared<const MetricDescription>(std::move(description));
  entry->reader = std::move(reader);
  MutexLock lock(mutex_);
  for (const auto& other : entries_) {
    if (other->description->name != entry->description->name) continue;
    // One name means one thing, or no scraper would take the page.
    CHECK(other->description->type == entry->description->type);
    CHECK(other->description->labels == entry->description->labels);
  }
  entry->id = next_id_++;
  entries_.push_back(entry);
  return Registration(this, entry->id);
}

void Registry::Remove(uint64_t id) {
  std::shared_ptr<Entry> entry;
  MutexLock lock(mutex_);
  auto it =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e->id == id; });
  if (it == entries_.end()) return;
  entry = *it;
  entries_.erase(it);
  // What the reader refers to is about to go: wait for the scrape that is inside it.
  while (entry->readers_inside > 0) reader_left_.WaitFor(mutex_, std::chrono::seconds(1));
}

std::vector<MetricFamily> Registry::Collect() const {
  std::vector<std::shared_ptr<Entry>> entries;
  {
    MutexLock lock(mutex_);
    entries = entries_;
  }
  std::map<std::string_view, MetricFamily> by_name;
  for (const auto& entry : entries) {
    {
      MutexLock lock(mutex_);
      bool present = std::any_of(entries_.begin(), entries_.end(),
                                 [&](const auto& e) { return e->id == entry->id; });
      if (!present) continue;
      ++entry->readers_inside;
    }
    // Also when the reader throws (no memory): Remove would wait for it for ever.
    struct Leave {
      const Registry& registry;
      Entry& entry;
      ~Leave() {
        MutexLock lock(registry.mutex_);
        --entry.readers_inside;
        registry.reader_left_.NotifyAll();
      }
    };
    std::vector<MetricSample> samples = [&] {
      Leave leave{*this, *entry};
      return entry->reader();
    }();
    MetricFamily& family = by_name[entry->description->name];
    if (!family.description) family.description = entry->description;
    for (MetricSample& sample : samples) {
      // A sample with the wrong number of labels would make the whole page unreadable.
      DCHECK(sample.label_values.size() == entry->description->labels.size());
      if (sample.label_values.size() != entry->description->labels.size()) continue;
      family.samples.push_back(std::move(sample));
    }
  }
  std::vector<MetricFamily> families;
  families.reserve(by_name.size());
  for (auto& [name, family] : by_name) families.push_back(std::move(family));
  return families;
}

std::vector<MetricDescription> Registry::Descriptions() const {
  std::map<std::string, MetricDescription> by_name;
  MutexLock lock(mutex_);
  for (const auto& entry : entries_) by_name.emplace(entry->description->name, *entry->description);
  std::vector<MetricDescription> descriptions;
  for (auto& [name, description] : by_name) descriptions.push_back(std::move(description));
  return descriptions;
}

namespace {
bool IsAsciiLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
}  // namespace

bool IsValidMetricName(std::string_view name) {
  if (name.empty() || IsDigit(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return IsAsciiLetter(c) || IsDigit(c) || c == '_' || c == ':'; });
}

bool IsValidLabelName(std::string_view name) {
  if (name.empty() || IsDigit(name[0]) || name.starts_with("__")) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return IsAsciiLetter(c) || IsDigit(c) || c == '_'; });
}

}  // namespace leadsman
