#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "events/dropped_inputs.h"

namespace leadsman {

/// The names of one model's input values, each with its place in PredictionEvent::features. A name keeps its place: in this
/// process, and, where the monitor has a database, in later ones. Whoever makes events of named values asks here, so that all
/// sources of a model agree, and what is kept by place (references, schemas) stays true whatever the order in which names come.
///
/// Inputs that are dropped (DroppedInputs) have no place, so that no event has their values and nobody knows their names.
///
/// Thread-safe.
class FeatureNames {
 public:
  /// `dropped`: null: none.
  explicit FeatureNames(std::shared_ptr<const DroppedInputs> dropped = nullptr)
      : dropped_(dropped != nullptr && !dropped->empty() ? std::move(dropped) : nullptr) {}

  static constexpr size_t kMaxNames = 4096;
  static constexpr size_t kLongestName = 128;  ///< bytes

  /// Of a value of an event; a new name gets the next place. Nothing for one that is dropped, nor, counted, for one that is too long
  /// or too many.
  std::optional<size_t> PlaceOf(std::string_view name);
  /// The columns of a table of the model's inputs. While no event has come with names their order is that of the places, and
  /// they replace what another table said; afterwards those that are new get places behind the others.
  void Suggest(std::span<const std::string> columns);
  /// Which of a table's `width` columns are kept; `columns` are their names, if they have any. While no event has come with names the
  /// values in the places of those that are not are left out of events, too.
  std::vector<bool> Keeps(std::span<const std::string> columns, size_t width);
  /// The values of an event but those that are dropped; of events that `may_be_named`, as those from outside, none once any has
  /// come with names, for those have none that are dropped. Valid as long as both.
  std::span<const float> WithoutDropped(std::span<const float> values, bool may_be_named,
                                        std::vector<float>& scratch);
  /// The dropped ones that have come, in an event or as a column.
  std::set<std::string> met() const;

  /// What TakeNew gave in an earlier process, in the order of the places. Before all else.
  void Restore(std::vector<std::string> names);

  std::vector<std::string> names() const;
  /// Of names(), without a lock.
  size_t size() const { return size_; }
  /// Events come with names: only then do names say which value is meant, and not its place.
  bool named() const { return named_; }
  uint64_t refused() const { return refused_; }

  /// Names and their places that were not given before; none while they are suggestions alone.
  std::vector<std::pair<size_t, std::string>> TakeNew();

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  bool Append(std::string_view name) REQUIRES(mutex_);
  bool Drops(std::string_view name) REQUIRES(mutex_);
  bool DropsPlace(size_t place) REQUIRES(mutex_);

  const std::shared_ptr<const DroppedInputs> dropped_;  ///< null: none

  mutable Mutex mutex_;
  std::vector<std::string> names_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> places_ GUARDED_BY(mutex_);
  size_t taken_ GUARDED_BY(mutex_) = 0;                 ///< by TakeNew
  std::set<size_t> dropped_places_ GUARDED_BY(mutex_);  ///< of columns, where events have no names
  std::set<std::string, std::less<>> met_ GUARDED_BY(mutex_);  ///< dropped names
  std::set<size_t> met_places_ GUARDED_BY(mutex_);             ///< likewise
  std::atomic<size_t> size_{0};
  std::atomic<bool> named_{false};
  std::atomic<uint64_t> refused_{0};
};

/// Those of all models, the first kMaxModels. Thread-safe.
class FeatureNameBook {
 public:
  static constexpr size_t kMaxModels = 1024;

  /// `dropped`: of any model; null: none.
  explicit FeatureNameBook(std::shared_ptr<const DroppedInputs> dropped = nullptr)
      : dropped_(std::move(dropped)) {}

  /// Null beyond kMaxModels.
  std::shared_ptr<FeatureNames> Of(std::string_view model);
  /// FeatureNames::TakeNew of all: model, place, name.
  struct NewName {
    std::string model;
    size_t place = 0;
    std::string name;
  };
  std::vector<NewName> TakeNew();
  uint64_t refused() const;  ///< by all together
  /// Dropped inputs that no model has had so far.
  std::vector<std::string> NeverMet() const;

 private:
  const std::shared_ptr<const DroppedInputs> dropped_;
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<FeatureNames>, std::less<>> models_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
