// Adapts threads, chunk, caches and duty to what else happens on the machine, between steps.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "scheduler/foreign_load.h"
#include "scheduler/hysteresis.h"

namespace qvl::scheduling {

enum class PowerPolicy : uint8_t { performance, balanced, power_save };
enum class PowerSource : uint8_t { mains, battery };
enum class Spinning : uint8_t { allowed, off };

/// What was measured since the last update. What a machine does not tell is left out.
struct Signals {
  int64_t now_us = 0;  ///< of a clock that does not jump
  int cpus = 1;        ///< processors that computing threads may run on
  std::optional<int>
      quota_permille{};  ///< the least quota of the enclosing groups; 1500 is a processor and a half
  std::optional<int> own_permille{};      ///< processor time of this process, in permille of one processor
  std::optional<int> foreign_permille{};  ///< of all others, on the same processors
  /// Pressure stall information, "some avg10", in permille of the time.
  std::optional<int> cpu_pressure_permille{}, memory_pressure_permille{}, io_pressure_permille{};
  std::optional<uint64_t> available_bytes{};
  std::optional<int> ledger_permille{};  ///< of the memory cap that is reserved
  std::optional<int> temperature_c{}, temperature_limit_c{};
  PowerSource power = PowerSource::mains;
};

struct ControlOptions {
  int asked_threads = 4;  ///< >= 1
  PowerPolicy policy = PowerPolicy::performance;
  int power_save_duty_permille = 1000;  ///< share of the time to compute in on mains, 1 to 1000
  uint32_t prefill_chunk = 256;         ///< with all threads at full speed
  uint32_t least_prefill_chunk = 16;    ///< <= prefill_chunk
  uint64_t cache_bytes = 0;             ///< of all caches together, without pressure
  uint64_t low_available_bytes = uint64_t{256} << 20;  ///< less than this free in the machine is pressure
  size_t most_changes = 256;                           ///< kept in the log, >= 1
};

/// What the engine is to do from now on.
struct Adjustment {
  int threads = 1;
  Spinning spinning = Spinning::allowed;  ///< whether threads may wait awake between loops
  uint32_t prefill_chunk = 0;
  uint64_t cache_bytes = 0;
  int duty_permille = 1000;  ///< share of the time to compute in
  std::string cause{};       ///< of the changes of this update; empty where nothing changed
};

struct Change {
  int64_t at_us;
  std::string text;  ///< "threads 2 -> 1: quota 1.00 CPUs"
};

/// The control loop. Its answers follow from its options and the signals it was given, nothing else; to be
/// called every half second or second. It adapts within 5 s, and recovers within 5 s after a foreign load
/// has ended. Thread-compatible.
///
/// Threads beside a foreign load (balanced and power_save; performance keeps all). Let n processors be
/// shared with D busy programs. A fair share is half the machine, or all that they leave. On a processor of
/// its own a thread gets all of it, beside a busy program half of it.
///
/// - D <= n/2: n - D threads, each on a processor of its own. One more would halve a program, and be the
///   slow one that each loop of the others waits for.
/// - D > n/2: n - D threads would get less than half the machine. With t threads we get (n - D) + (t - n +
///   D)/2, which is n/2 for t = D. So D threads, at most n. On two processors with a busy program on each,
///   that is two threads, half the machine for each side. One thread would get a half to two thirds of one
///   processor, three would get 60 % of the machine.
/// - This holds for equal priority. A computing pool whose nice value is raised by 5 gets a quarter of a
///   shared processor, not half.
///
/// Spinning is off wherever another program wants the processor or a quota is short: a thread that waits
/// awake for one that was preempted spends its own share on waiting, and has none left when the other is
/// back. Asleep it leaves the processor to the foreign program and is first in line afterwards.
///
/// Quota: as many threads as whole processors, rounded to the nearest. Threads beyond that only make all of
/// them stop together for the rest of each period; rounding down would leave up to a half of a small quota
/// unused.
///
/// Memory: under pressure (stall information, else how fast the available memory falls; what is available;
/// the ledger near its cap) caches lose an eighth of their budget each second, and get it back one eighth
/// every 10 s. Heat: near the limit a thread less every 2 s down to half of the processors, then a tenth of
/// the time less, down to 30 %; the way back takes 5 s a step. power_save: half the processors, a part
/// of the time; on battery the rest is half as long again.
class ControlLoop {
 public:
  explicit ControlLoop(const ControlOptions& options);

  /// Borrowed until the next call.
  const Adjustment& update(const Signals& signals);

  const std::deque<Change>& changes() const { return changes_; }
  uint64_t forgotten_changes() const { return forgotten_changes_; }

 private:
  // What may bound the number of threads.
  enum class Bound : uint8_t { asked, cpus, quota, foreign, heat, power_save };

  void observe(const Signals& signals);
  Trend memory_trend();
  int64_t time_left_us(uint64_t available) const;
  int bound_of(Bound bound) const;
  std::string reason_of(Bound bound) const;
  void decide_threads();
  void decide_spinning();
  void decide_duty();
  void decide_chunk();
  void decide_caches();
  void note(std::string text);

  ControlOptions options_;
  Signals now_;  // the latest, within plausible ranges
  ForeignLoad foreign_;
  int demand_permille_ = 0;
  Level memory_{{.up_us = 1'000'000, .down_us = 10'000'000}};
  Level heat_{{.up_us = 2'000'000, .down_us = 5'000'000}};
  Level cpu_pressure_{{.up_us = 1'000'000, .down_us = 2'000'000}};  // 1 where others seem to want processors
  std::string memory_reason_;
  std::optional<uint64_t> last_available_bytes_;
  int64_t last_us_ = 0;
  Bound bound_ = Bound::asked;
  int policy_duty_permille_ = 1000;  // without heat
  Adjustment adjustment_;
  std::deque<Change> changes_;
  uint64_t forgotten_changes_ = 0;
};

}  // namespace qvl::scheduling
