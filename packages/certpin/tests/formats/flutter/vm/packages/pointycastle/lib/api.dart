export 'src/ecdsa.dart'
    show CipherParameters, Digest, PublicKey, PublicKeyParameter, Signature;
