/** The objects of the Docker Engine API, as far as Seatrial reads them: the field names are Docker's. */

export type Labels = Record<string, string>;

export interface ContainerSummary {
  Id: string;
  Names: string[];
  Image: string;
  ImageID: string;
  State: string;
  Created: number;
  Labels: Labels;
  NetworkSettings?: { Networks: Record<string, { NetworkID: string; IPAddress: string; Aliases?: string[] | null }> };
  Ports: { IP?: string; PrivatePort: number; PublicPort?: number; Type: string }[];
}

export interface ContainerDetails {
  Id: string;
  Name: string;
  Created: string;
  Image: string;
  State: {
    Status: string;
    Running: boolean;
    Paused: boolean;
    ExitCode: number;
    OOMKilled?: boolean;
    Error: string;
    Health?: { Status: string };
  };
  Config: { Image: string; Labels: Labels | null; Env: string[] | null; Cmd: string[] | null };
  HostConfig: { PortBindings: Record<string, { HostIp: string; HostPort: string }[]> | null; RestartPolicy?: { Name: string } };
  Mounts: { Type: string; Name?: string; Destination: string; Source: string }[];
  NetworkSettings: {
    Ports: Record<string, { HostIp: string; HostPort: string }[] | null>;
    Networks: Record<string, { NetworkID: string; IPAddress: string; Aliases: string[] | null }>;
  };
}

export interface NetworkDetails {
  Id: string;
  Name: string;
  Created: string;
  Labels: Labels;
  Options: Labels | null;
  IPAM: { Config: { Subnet: string; Gateway?: string }[] | null };
  /** Only in the answer of an inspect. */
  Containers?: Record<string, { Name: string }>;
}

export interface ImageDetails {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  Architecture: string;
  Os: string;
  Size: number;
  /** Digests of its layers, without compression: the same for images that differ in labels alone. */
  RootFS?: { Layers?: string[] | null };
  Config: {
    Labels: Labels | null;
    Env: string[] | null;
    Volumes: Record<string, object> | null;
    ExposedPorts?: Record<string, object> | null;
    Entrypoint?: string[] | null;
    Cmd?: string[] | null;
  } | null;
}
