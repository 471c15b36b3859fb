// Values that change only after a signal has held for a while, so that a loop does not follow every flicker.
#pragma once

#include <cstdint>

namespace qvl::scheduling {

/// Where a signal is: beyond its upper threshold, below its lower one, or between them.
enum class Trend : uint8_t { falling, steady, rising };

struct DwellTimes {
  int64_t up_us;
  int64_t down_us;
};

/// Says when a trend has held for its dwell time. Thread-compatible.
class Dwell {
 public:
  explicit Dwell(DwellTimes times) : times_(times) {}

  /// True where `trend` has held without a break for its time; then that time begins anew.
  bool held(Trend trend, int64_t now_us) {
    if (trend != trend_) {
      trend_ = trend;
      since_us_ = now_us;
    }
    if (trend == Trend::steady) return false;
    if (now_us - since_us_ < (trend == Trend::rising ? times_.up_us : times_.down_us)) return false;
    since_us_ = now_us;
    return true;
  }

 private:
  DwellTimes times_;
  Trend trend_ = Trend::steady;
  int64_t since_us_ = 0;
};

/// A level from 0 to `most` that goes one up or one down each time its trend has held. Thread-compatible.
class Level {
 public:
  explicit Level(DwellTimes times) : dwell_(times) {}

  int update(Trend trend, int most, int64_t now_us) {
    if (dwell_.held(trend, now_us)) value_ += trend == Trend::rising ? 1 : -1;
    value_ = value_ < 0 ? 0 : value_ > most ? most : value_;
    return value_;
  }
  int value() const { return value_; }

 private:
  Dwell dwell_;
  int value_ = 0;
};

/// The trend of a value against two thresholds.
template <typename Value>
Trend trend_of(Value value, Value rises_from, Value falls_to) {
  if (value >= rises_from) return Trend::rising;
  return value <= falls_to ? Trend::falling : Trend::steady;
}

}  // namespace qvl::scheduling
