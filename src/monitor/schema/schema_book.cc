#include "monitor/schema/schema_book.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kRow = "schema";
constexpr double kValues = 16;  // looked at of a request, on average
/// Of inputs of which only every so many requests are looked at, so many rows at least.
constexpr uint64_t kFewestSampledRows = 1000;
constexpr std::string_view kOthers = "(others)";

/// Every how many of the events with inputs is looked at; those of wide inputs are a sample already.
uint64_t StrideOf(const PredictionEvent& event) {
  const double values = static_cast<double>(event.features.size());
  const double each = std::max(1.0, static_cast<double>(event.feature_weight));
  return static_cast<uint64_t>(std::max(1.0, std::ceil(values / (kValues * each))));
}

/// How many requests each row that is looked at stands for.
uint64_t RequestsOf(const PredictionEvent& event) {
  return StrideOf(event) *
         static_cast<uint64_t>(std::max(1.0, static_cast<double>(event.feature_weight)));
}

OrderedJson TimeJson(uint64_t unix_ms) {
  return FormatRfc3339(FromUnixMillis(static_cast<int64_t>(unix_ms)));
}

OrderedJson ViolationsJson(const RowCheck& check) {
  OrderedJson all = OrderedJson::array();
  for (const RowCheck::Violation& v : check.violations()) {
    all.push_back({{"feature", v.feature},
                   {"rule", SchemaRuleName(v.rule)},
                   {"expected", v.expected},
                   {"count", v.tally.count},
                   {"first", v.tally.kept > 0 ? TimeJson(v.tally.first[0]) : OrderedJson()},
                   {"last", TimeJson(v.tally.last)}});
  }
  return all;
}

std::string FromName(const DataSchema& schema) {
  const bool requests =
      schema.inferred && schema.inferred->from == SchemaOrigin::From::kFirstRequests;
  return requests ? "first_requests" : "file";
}

}  // namespace

double VersionSchema::accepted_share() const {
  double unseen = 0;
  if (check_ && check_->schema().inferred) unseen = check_->schema().inferred->unseen_share;
  return config_.accepted_share + unseen;
}

void VersionSchema::Use(std::shared_ptr<const DataSchema> schema) {
  builder_.reset();
  problem_.clear();
  check_.emplace(std::move(schema));
  if (!known_names_.empty()) check_->NamePlaces(known_names_);
}

void VersionSchema::Relearn() {
  check_.reset();
  problem_.clear();
  builder_ = std::make_unique<SchemaBuilder>(config_.margin);
  wanted_ = 0;
  dropped = true;
  written = false;
}

void VersionSchema::Refuse(std::string problem) {
  check_.reset();
  builder_.reset();
  problem_ = std::move(problem);
}

/// Names come with the events that have them, and then say more than places.
void VersionSchema::LearnNames() {
  if (names_ == nullptr || !names_->named() || names_->size() == known_names_.size()) return;
  known_names_ = names_->names();
  if (check_) check_->NamePlaces(known_names_);
}

void VersionSchema::Fold(const PredictionEvent& event, WallTime wall, SteadyTime now) {
  last_used = now;
  active = true;
  if (!problem_.empty()) return;
  if (event.features.empty() || requests_++ % StrideOf(event) != 0) return;
  LearnNames();
  if (!check_) return Collect(event, wall);
  const auto at = static_cast<uint64_t>(std::max<int64_t>(UnixMillis(wall), 0));
  check_->Check(event.features, at);
  if (check_->block_rows() >= kBlockRows) check_->CloseBlock(at);
}

void VersionSchema::Collect(const PredictionEvent& event, WallTime wall) {
  // What the model refused is no example of what is right.
  if (event.outcome_known && event.outcome != StatusCode::kOk) return;
  if (wanted_ == 0) {
    const uint64_t each = RequestsOf(event);
    wanted_ = each == 1 ? config_.requests
                        : std::max<uint64_t>(config_.requests / each, kFewestSampledRows);
  }
  if (known_names_.empty() || known_names_.size() > DataSchema::kMaxFeatures) {
    builder_->Add(event.features);
  } else {
    builder_->Add(event.features, known_names_);
  }
  if (builder_->rows() < wanted_) return;
  auto schema = builder_->Build(SchemaOrigin::From::kFirstRequests, FormatRfc3339(wall));
  if (schema.ok()) Use(std::make_shared<const DataSchema>(std::move(*schema)));
}

void SchemaBook::Restore(const std::vector<DriftRow>& rows,
                         const std::map<std::string, MonitorConfig>& configs, SteadyTime now) {
  for (const DriftRow& row : rows) {
    if (row.what != kRow || files_.contains(row.key.first) || problems_.contains(row.key.first))
      continue;
    auto schema = ParseDataSchema(row.bytes, "kept.json");
    if (!schema.ok()) continue;  // of another build: begun anew
    auto config = configs.find(row.key.first);
    auto found = Find(row.key, config != configs.end() ? config->second : MonitorConfig(), now);
    if (!found) continue;
    found->Use(std::make_shared<const DataSchema>(std::move(*schema)));
    found->written = true;
  }
}

std::shared_ptr<VersionSchema> SchemaBook::Find(const Key& key, const MonitorConfig& config,
                                                SteadyTime now) {
  if (!config.enabled || !config.schema.enabled || key.first.empty()) return nullptr;
  if (auto known = versions_.Find(key)) return known;
  if (versions_.full()) {
    const bool room = versions_.MakeRoom(now);
    if (refused_++ == 0 && !room) {
      LOG_WARN("too many model versions to hold against schemas; further ones are not checked",
               {"model", key.first}, {"version", key.second});
    }
    if (!room) return nullptr;
  }
  auto schema = std::make_shared<VersionSchema>(
      config.schema, names_ != nullptr ? names_->Of(key.first) : nullptr);
  if (auto file = files_.find(key.first); file != files_.end()) {
    schema->Use(file->second);
    schema->written = true;
  } else if (auto problem = problems_.find(key.first); problem != problems_.end()) {
    schema->Refuse(problem->second);
  }
  versions_.Add(key, schema, now);
  return schema;
}

std::vector<int64_t> SchemaBook::Relearn(const std::string& model, std::optional<int64_t> version) {
  std::vector<int64_t> taken;
  auto file = files_.find(model);
  for (int64_t number : versions_.Numbers(model)) {
    if (version && number != *version) continue;
    const auto schema = versions_.Find({model, number});
    schema->Relearn();
    if (file != files_.end()) {
      schema->Use(file->second);
      schema->written = true;
    }
    taken.push_back(number);
  }
  return taken;
}

void SchemaBook::Collect(std::vector<DriftRow>& rows) {
  for (const auto& [key, schema] : versions_) {
    if (std::exchange(schema->dropped, false)) rows.push_back({key, std::string(kRow), ""});
    if (schema->written || schema->check() == nullptr) continue;
    schema->written = true;
    rows.push_back({key, std::string(kRow), DataSchemaJson(schema->check()->schema())});
  }
}

std::vector<SchemaCounts> SchemaBook::Counts() const {
  std::vector<SchemaCounts> all;
  for (const auto& [key, schema] : versions_) {
    const RowCheck* check = schema->check();
    if (!schema->active || check == nullptr) continue;
    all.push_back({key.first, key.second, check->rows(), check->violating(),
                   schema->accepted_share(), FromName(check->schema()) == "file",
                   check->violations()});
  }
  return all;
}

Result<std::string> SchemaBook::Json(const std::string& model, int64_t version) const {
  const auto found = versions_.Find({model, version});
  if (!found) {
    return NotFoundError(StrCat("model ", model, " version ", version,
                                " has no schema: it has served no request yet, or "
                                "monitoring.schema.enabled of the model is false"));
  }
  const VersionSchema& schema = *found;
  const RowCheck* check = schema.check();
  OrderedJson json = {{"version", version}};
  if (!schema.problem().empty()) {
    json["state"] = "unreadable";
    json["rows"] = 0;
    json["reason"] = schema.problem();
  } else if (check == nullptr) {
    json["state"] = "collecting";
    json["rows"] = schema.collected();
    json["of"] = schema.wanted() > 0 ? OrderedJson(schema.wanted()) : OrderedJson();
  } else {
    json["state"] = "frozen";
    json["from"] = FromName(check->schema());
    json["rows"] = check->rows();
    json["violating_rows"] = check->violating();
    json["accepted_share"] = schema.accepted_share();
    json["violations"] = ViolationsJson(*check);
    json["schema"] = OrderedJson::parse(DataSchemaJson(check->schema()), nullptr, false);
  }
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::vector<MetricSample> SchemaBook::Samples(Metric metric) const {
  std::vector<MetricSample> samples;
  for (const auto& [key, schema] : versions_) {
    if (!schema->active) continue;
    auto add = [&, &key = key](std::vector<std::string> more, uint64_t value) {
      MetricSample& sample = samples.emplace_back();
      sample.label_values = {key.first, std::to_string(key.second)};
      for (std::string& label : more) sample.label_values.push_back(std::move(label));
      sample.value = static_cast<double>(value);
    };
    const RowCheck* check = schema->check();
    if (metric == Metric::kReady) add({}, check != nullptr ? 1 : 0);
    if (check == nullptr) continue;
    if (metric == Metric::kRows) {
      add({"kept"}, check->rows() - check->violating());
      add({"violating"}, check->violating());
    }
    if (metric != Metric::kViolations) continue;
    std::map<std::pair<std::string, std::string>, uint64_t> counts;
    for (const RowCheck::Violation& v : check->violations()) {
      const std::string feature = v.place < kMaxNamed ? v.feature : std::string(kOthers);
      counts[{feature, std::string(SchemaRuleName(v.rule))}] += v.tally.count;
    }
    for (const auto& [of, count] : counts) add({of.first, of.second}, count);
  }
  return samples;
}

}  // namespace leadsman
