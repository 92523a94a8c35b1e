export '../src/ecdsa.dart'
    show ECCurve, ECDomainParameters, ECPoint, ECPublicKey, ECSignature;
