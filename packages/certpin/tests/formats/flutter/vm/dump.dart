/// Pin sets as JSON, field by field.
library;

import 'package:certpin/src/policy.dart';

Map<String, Object?> dumpOf(PinSet pins) => {
      'name': pins.name,
      'version': pins.version,
      'debugAnchors': pins.debugAnchors,
      'policies': [
        for (final policy in pins.policies)
          {
            'pattern': policy.pattern,
            'mode': policy.mode,
            'match': policy.match,
            'pins': policy.pins,
            'compromised': policy.compromised,
            'expires': policy.expires,
            'onExpiry': policy.onExpiry,
            'trust': policy.trust,
            'reportTo': policy.reportTo,
          },
      ],
    };
