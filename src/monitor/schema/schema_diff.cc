#include "monitor/schema/schema_diff.h"

#include <algorithm>
#include <iterator>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr size_t kShownCategories = 5;

/// Of minus zero as of zero, which it is equal to.
std::string BoundText(const std::optional<double>& bound) {
  return bound ? StrCat(*bound + 0.0) : "-";
}
std::string YesNo(bool yes) { return yes ? "true" : "false"; }

/// Those of `from` that are not in `in`: "blue, green and 3 more".
std::string Only(const std::vector<std::string>& from, const std::vector<std::string>& in) {
  std::vector<std::string> only;
  std::set_difference(from.begin(), from.end(), in.begin(), in.end(), std::back_inserter(only));
  const size_t more = only.size() > kShownCategories ? only.size() - kShownCategories : 0;
  only.resize(only.size() - more);
  if (more > 0) only.push_back(StrCat(more, " more"));
  return HumanList(only, "-");
}

void DiffFeatures(const FeatureSchema& a, const FeatureSchema& b, std::vector<SchemaChange>& out) {
  auto differ = [&](const char* what, std::string before, std::string after) {
    if (before != after) out.push_back({a.name, what, std::move(before), std::move(after)});
  };
  differ("type", std::string(FeatureTypeName(a.type)), std::string(FeatureTypeName(b.type)));
  differ("min", BoundText(a.min), BoundText(b.min));
  differ("max", BoundText(a.max), BoundText(b.max));
  if (a.categories.empty() != b.categories.empty()) {
    auto count = [](const FeatureSchema& f) {
      return f.categories.empty() ? std::string("any") : StrCat(f.categories.size());
    };
    differ("categories", count(a), count(b));
  } else {
    differ("categories", Only(a.categories, b.categories), Only(b.categories, a.categories));
  }
  differ("missing", StrCat(a.missing), StrCat(b.missing));
  differ("non_finite", StrCat(a.non_finite), StrCat(b.non_finite));
  differ("values", StrCat(a.values), StrCat(b.values));
  differ("optional", YesNo(a.optional), YesNo(b.optional));
}

/// The features that both have, by name, in the order of `a`.
std::vector<std::string_view> Common(const DataSchema& a, const DataSchema& b) {
  std::vector<std::string_view> names;
  for (const FeatureSchema& f : a.features) {
    const bool both = std::any_of(b.features.begin(), b.features.end(),
                                  [&](const FeatureSchema& g) { return g.name == f.name; });
    if (both) names.push_back(f.name);
  }
  return names;
}

const FeatureSchema* Find(const DataSchema& schema, std::string_view name) {
  auto found = std::find_if(schema.features.begin(), schema.features.end(),
                            [&](const FeatureSchema& f) { return f.name == name; });
  return found != schema.features.end() ? &*found : nullptr;
}

}  // namespace

std::vector<SchemaChange> DiffSchemas(const DataSchema& before, const DataSchema& after) {
  std::vector<SchemaChange> changes;
  if (before.allow_others != after.allow_others) {
    changes.push_back({"", "allow_others", YesNo(before.allow_others), YesNo(after.allow_others)});
  }
  for (const FeatureSchema& feature : before.features) {
    if (const FeatureSchema* other = Find(after, feature.name)) {
      DiffFeatures(feature, *other, changes);
    } else {
      changes.push_back({feature.name, "feature", std::string(FeatureTypeName(feature.type)), "-"});
    }
  }
  for (const FeatureSchema& feature : after.features) {
    if (Find(before, feature.name) == nullptr)
      changes.push_back({feature.name, "feature", "-", std::string(FeatureTypeName(feature.type))});
  }
  // Rows without names go by the place, so that the order counts; of what both have.
  const auto order = Common(before, after), now = Common(after, before);
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i] == now[i]) continue;
    const auto at = std::find(now.begin(), now.end(), order[i]) - now.begin();
    changes.push_back({std::string(order[i]), "place", StrCat(i + 1), StrCat(at + 1)});
  }
  return changes;
}

}  // namespace leadsman
