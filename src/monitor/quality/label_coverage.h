#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace leadsman {

class ByteReader;
class ByteWriter;

/// How many of the predictions that were kept for labels have got one, by how long ago they were made:
/// minutes for an hour, hours for a day, days for 400. A prediction stands in one slot; slots grow
/// together as they age. Weighted rows. At most 30 KB. Externally synchronised.
class LabelCoverage {
 public:
  void AddPrediction(int64_t made_ms, double weight, int64_t now_ms);
  /// Of a prediction made then. One that is not known any more is not counted.
  void AddLabel(int64_t made_ms, double weight);

  struct Age {
    const char* up_to;  ///< "10m", "1h", "6h", "1d", "7d", "30d", "400d"
    double predictions = 0, labelled = 0;
  };
  /// The youngest first; those without a prediction are left out.
  std::vector<Age> ByAge(int64_t now_ms);
  Age All() const;

  void Write(ByteWriter& to) const;
  void Read(ByteReader& from);

 private:
  static constexpr size_t kLevels = 3;
  struct Counts {
    double predictions = 0, labelled = 0;
  };
  using Slots = std::map<int64_t, Counts>;  ///< by time in units of the level
  /// Moves what has become too old for its level.
  void GrowOlder(int64_t now_ms);

  Slots levels_[kLevels];
};

}  // namespace leadsman
